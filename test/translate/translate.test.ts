/** Every folder here: the objects of `in.yaml` give what `out.yaml` holds. `vitest -u` writes what is new. */
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { outputOf, readGolden } from "./golden.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const CASES = readdirSync(HERE)
  .filter((name) => existsSync(`${HERE}${name}/in.yaml`))
  .toSorted();

describe("objects → resources", () => {
  test("there are goldens", () => {
    expect(CASES.length).toBeGreaterThanOrEqual(60);
  });
  test.each(CASES)("%s", async (name) => {
    const golden = readGolden(`${HERE}${name}/in.yaml`);
    await expect(outputOf(golden)).toMatchFileSnapshot(`${HERE}${name}/out.yaml`);
  });
});
