/** What the bundles are made of, for the image's bill of materials. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Plugin } from "vite";

const FOLDER = /^\0?(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;

interface Manifest {
  name: string;
  version: string;
  license?: unknown;
}

function manifest(folder: string): Required<Manifest> {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as Manifest;
  return { name, version, license: typeof license === "string" ? license : "" };
}

/** Returns the packages that a style sheet takes, which are no modules of the bundle. */
function imports(sheet: string): string[] {
  return [...readFileSync(sheet, "utf8").matchAll(/@import "([^."/][^"]*)"/g)].map(([, name]) => `node_modules/${name ?? ""}/`);
}

/**
 * Writes name, version and license of each package of which a bundle takes a file.
 *
 * @param metafile What esbuild says of the server's bundle, made before; it is removed.
 * @param target Where to.
 */
export function packages(metafile: string, target: string): Plugin {
  return {
    name: "packages",
    apply: "build",
    buildEnd() {
      const { inputs } = JSON.parse(readFileSync(metafile, "utf8")) as { inputs: Record<string, unknown> };
      const modules = [...this.getModuleIds()];
      const files = [...Object.keys(inputs), ...modules, ...modules.filter((id) => id.endsWith(".css")).flatMap(imports)];
      const folders = files.map((file) => FOLDER.exec(file)?.[1]).filter((folder) => folder !== undefined);
      const known = new Map(folders.map(manifest).map((found) => [`${found.name} ${found.version}`, found]));
      const listed = [...known].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, found]) => found);
      writeFileSync(target, `${JSON.stringify(listed, null, 1)}\n`);
      rmSync(metafile);
    },
  };
}
