import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

const openssl = (...words: string[]) => execFileSync("openssl", words, { stdio: "pipe" });

/** Makes an authority in a directory; returns what it issues for a name. */
export function authority(directory: string, label: string) {
  const file = (name: string) => path.join(directory, `${label}-${name}`);
  openssl("req", "-x509", ...EC, "-subj", `/CN=${label}`, "-days", "10", "-keyout", file("ca.key"), "-out", file("ca.crt"));
  let number = 0;
  const issue = (name: string, days = 1) => {
    const own = file(String((number += 1)));
    openssl("req", ...EC, "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`, "-keyout", `${own}.key`, "-out", `${own}.csr`);
    const signer = ["-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-set_serial", String(number), "-copy_extensions", "copy"];
    openssl("x509", "-req", "-in", `${own}.csr`, ...signer, "-days", String(days), "-out", `${own}.crt`);
    return { key: readFileSync(`${own}.key`), cert: readFileSync(`${own}.crt`) };
  };
  return { text: readFileSync(file("ca.crt"), "utf8"), issue };
}

/** Replaces a file as the role does: by a rename. */
export function put(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
