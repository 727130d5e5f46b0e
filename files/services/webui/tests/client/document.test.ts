import { describe, expect, it } from "vitest";
import { canonical, isFault, lineOf, read, type Read } from "../../src/client/policy/document";
import { difference } from "../../src/client/policy/lines";

const good = (text: string): Read => {
  const found = read(text);
  if (isFault(found)) throw new Error(found.message);
  return found;
};

describe("a document", () => {
  it.each(["{}", ' {"a": [1, -0.5e3, true, false, null, "\\u00e9\\n\\"", [], {}]}\n', '{"": {"": 1}, "__proto__": {"a": 2}}', '{"é\u007f": "\u2028"}'])("is read as JSON is: %s", (text) => {
    expect(JSON.stringify(good(text).value)).toBe(JSON.stringify(JSON.parse(text)));
  });

  it.each([
    ["", 1, 1, "expected an object, so {, found the end"],
    ["[]", 1, 1, "expected an object, so {, found []"],
    ["{\n", 2, 1, 'expected a key in "", found the end'],
    ['{"a": 1,\n}', 2, 1, 'expected a key in "", found }'],
    ['{"a": [1,]}', 1, 10, "expected a value, found ]}"],
    ['{"a": 1 "b": 2}', 1, 9, 'expected , or }, found "b": 2}'],
    ['{"a" 1}', 1, 6, "expected :, found 1}"],
    ['{\n  "a": "x\ny"}', 2, 8, 'expected a value, found "x'],
    ["{'a': 1}", 1, 2, "expected a key in \"\", found 'a': 1}"],
    ['{"a": 01}', 1, 8, "expected , or }, found 1}"],
    ['{"a": "\\x"}', 1, 7, "this text has a control character, or an escape that JSON does not have"],
    ['{"a": 1, "\\u0061": 2}', 1, 10, 'the key "a" is there twice'],
    ["{} x", 1, 4, "expected nothing behind the object's last }, found x"],
    [`{"a": ${"[".repeat(40)}`, 1, 39, "this is nested more than 32 deep"],
  ])("that is none says where: %j", (text, line, column, message) => {
    expect(read(text)).toEqual({ line, column, message });
    expect(() => JSON.parse(text) as unknown).toSatisfy((parse: () => unknown) => {
      // What JSON.parse takes all the same: no object, a key twice, depth.
      try {
        parse();
        return /so \{|twice/.test(message);
      } catch {
        return true;
      }
    });
  });

  it("is the same in whatever order its keys are, and not in another order of its parts", () => {
    expect(canonical({ b: [{ y: 1, x: null }], a: 1 })).toBe(canonical({ a: 1, b: [{ x: null, y: 1 }] }));
    expect(canonical({ a: [1, 2] })).not.toBe(canonical({ a: [2, 1] }));
  });

  const text = `{
  "lists": [
    {"name": "one"},
    {
      "name": "two",
      "prefixes": [
        "192.0.2.0/24",
        "x"
      ]
    }
  ],
  "rules": [
    {"id": "no-snmp", "vlan": 5000}
  ]
}`;
  it.each([
    ["lists[1].prefixes[1]: 'x' is no prefix", 8],
    ["document.lists[1].prefixes[1]: 'x' is no prefix", 8],
    ["lists[7] (two of api): action is missing", 4],
    ["lists[7] (two of api).prefixes: has 2 items", 6],
    ["lists[0] (one of api).action: None is not a text", 3],
    ["rules[4] (no-snmp of api).vlan: 5000 > the limit 4094", 13],
    ["rules[9]: id is missing", 12],
    ["rules[4] (theirs): vlan is odd", 12],
    ["limits[0] (x): packets is missing", null],
    ["list two of owner api has the name of one of owner inventory", null],
    ["the policy edge is odd", null],
  ])("has the line of what the host says: %s", (sentence, line) => {
    expect(lineOf(sentence, good(text))).toBe(line);
  });
});

describe("a difference", () => {
  const shown = (before: string, after: string) => difference(before, after).map(({ sign, text }) => sign + text);

  it("is what was removed and added, with what is around it", () => {
    expect(shown("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\n")).toEqual([" b", " c", "-d", "+D", " e", " f"]);
    expect(shown("1\n2\n3\n4\n5\n6\n7\n8\n9", "0\n1\n2\n3\n4\n5\n6\n7\n8")).toEqual(["+0", " 1", " 2", " …", " 7", " 8", "-9"]);
  });

  it("is nothing where the texts are the same", () => {
    expect(shown("a\nb", "a\nb\n")).toEqual([]);
  });

  it("is told within moments of the largest texts that there can be", () => {
    const many = Array.from({ length: 20_000 }, (_none, at) => `"${at}"`);
    const lines = difference(many.join("\n"), many.toReversed().join("\n"));
    expect(lines.filter(({ sign }) => sign === "+")).toHaveLength(20_000);
  });
});
