import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { formatProblem } from "#lib/problem.ts";
import { createDirectorySource } from "./directory-source.ts";
import type { ConfigSource, SourceFile } from "./source.ts";

const service = (name: string): string => `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\n`;
const WAIT = { timeout: 5000, interval: 10 };

describe("a directory source", () => {
  const runtime = nodeRuntime({ logLevel: "off" });
  let root = "";
  let source: ConfigSource | undefined;
  let files: readonly SourceFile[] = [];
  let changes = 0;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "source-"));
    changes = 0;
  });

  afterEach(() => {
    source?.close();
    rmSync(root, { recursive: true, force: true });
  });

  const write = (name: string, text: string): void => writeFileSync(join(root, name), text);
  const start = async (...paths: readonly string[]): Promise<void> => {
    source = createDirectorySource({ runtime, paths: paths.length > 0 ? paths : [root], settleMs: 20 });
    files = await source.start((next) => {
      files = next;
      changes += 1;
    });
  };
  const names = (): readonly string[] => files.flatMap(({ objects }) => objects.map(({ metadata }) => metadata.name));
  const problems = (): string => files.flatMap((file) => file.problems.map(formatProblem)).join("\n");

  test("reads YAML and JSON recursively, in order, and leaves other files alone", async () => {
    mkdirSync(join(root, "sub"));
    mkdirSync(join(root, ".hidden"));
    mkdirSync(join(root, "node_modules"));
    write("b.yml", service("b"));
    write("a.yaml", service("a"));
    write("sub/c.json", JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name: "c" } }));
    for (const other of [".hidden/x.yaml", "node_modules/x.yaml", "x.yaml~", "x.txt", "kustomization.yaml"]) {
      write(other, service("x"));
    }
    await start();
    expect(names()).toEqual(["a", "b", "c"]);
  });

  test("an edit, a new file in a new directory, and a removal are seen", async () => {
    write("a.yaml", service("a"));
    await start();
    write("a.yaml", service("a2"));
    await vi.waitFor(() => expect(names()).toEqual(["a2"]), WAIT);
    mkdirSync(join(root, "deep", "er"), { recursive: true });
    write("deep/er/b.yaml", service("b"));
    await vi.waitFor(() => expect(names()).toEqual(["a2", "b"]), WAIT);
    write("deep/er/b.yaml", service("b2"));
    await vi.waitFor(() => expect(names()).toEqual(["a2", "b2"]), WAIT);
    rmSync(join(root, "deep"), { recursive: true });
    await vi.waitFor(() => expect(names()).toEqual(["a2"]), WAIT);
  });

  test("an editor's atomic rename is seen, for a directory and for a single file", async () => {
    write("a.yaml", service("a"));
    await start(join(root, "a.yaml"));
    for (const name of ["one", "two", "three"]) {
      write("a.yaml.swp", service(name));
      renameSync(join(root, "a.yaml.swp"), join(root, "a.yaml"));
      // oxlint-disable-next-line no-await-in-loop
      await vi.waitFor(() => expect(names()).toEqual([name]), WAIT);
    }
  });

  test("a file that is truncated before it is written never counts as empty", async () => {
    write("a.yaml", service("a"));
    await start();
    const seen: (readonly string[])[] = [];
    write("a.yaml", "");
    // Past the settle time, within the second look.
    await new Promise((resolve) => void runtime.clock.setTimer(50, () => resolve(undefined)));
    seen.push(names());
    write("a.yaml", service("b"));
    await vi.waitFor(() => {
      seen.push(names());
      expect(names()).toEqual(["b"]);
    }, WAIT);
    expect(seen).not.toContainEqual([]);
  });

  test("files that are written all the time do not keep manifests from being read", async () => {
    write("a.yaml", service("a"));
    await start();
    write("a.yaml", service("b"));
    await vi.waitFor(() => {
      write("noise.log", String(runtime.random.float()));
      expect(names()).toEqual(["b"]);
    }, WAIT);
  });

  test("a file that stays empty is believed", async () => {
    write("a.yaml", service("a"));
    await start();
    write("a.yaml", "");
    await vi.waitFor(() => expect(names()).toEqual([]), WAIT);
  });

  test("touching a file without changing it is no change; unchanged files keep their identity", async () => {
    write("a.yaml", service("a"));
    write("b.yaml", service("b"));
    await start();
    const [first] = files;
    write("a.yaml", service("a"));
    write("b.yaml", service("b2"));
    await vi.waitFor(() => expect(names()).toEqual(["a", "b2"]), WAIT);
    expect(files[0]).toBe(first);
    expect(changes).toBe(1);
  });

  test("a path that does not exist is refused, and says what to name", async () => {
    await expect(start(join(root, "none"))).rejects.toMatchObject({
      code: "missing-path",
      message: expect.stringMatching(/none does not exist; name a file or a directory/) as string,
    });
  });

  test.skipIf(process.getuid?.() === 0)(
    "a file without permission is refused at the start, a problem later",
    async () => {
      write("a.yaml", service("a"));
      write("b.yaml", service("b"));
      await start();
      chmodSync(join(root, "a.yaml"), 0);
      write("b.yaml", service("b2"));
      await vi.waitFor(() => expect(names()).toEqual(["a", "b2"]), WAIT);
      expect(problems()).toMatch(/a\.yaml:1:1: .*may not be read.*chmod.*What was read before stays/);
    },
  );

  test("a root that vanishes keeps what was read in force, and says so; it may come back", async () => {
    mkdirSync(join(root, "mesh"));
    write("mesh/a.yaml", service("a"));
    await start(join(root, "mesh"));
    renameSync(join(root, "mesh"), join(root, "away"));
    await vi.waitFor(() => expect(problems()).toMatch(/mesh does not exist/), WAIT);
    expect(names()).toEqual(["a"]);
    mkdirSync(join(root, "mesh"));
    write("mesh/a.yaml", service("b"));
    await vi.waitFor(() => expect(names()).toEqual(["b"]), WAIT);
    expect(problems()).toBe("");
  });

  test("a directory that is removed and made again at once is followed on", async () => {
    mkdirSync(join(root, "mesh", "sub"), { recursive: true });
    write("mesh/sub/a.yaml", service("a"));
    await start();
    for (const name of ["b", "c"]) {
      rmSync(join(root, "mesh"), { recursive: true });
      mkdirSync(join(root, "mesh", "sub"), { recursive: true });
      write("mesh/sub/a.yaml", service(name));
      // oxlint-disable-next-line no-await-in-loop
      await vi.waitFor(() => expect(names()).toEqual([name]), WAIT);
      write("mesh/sub/a.yaml", service(`${name}2`));
      // oxlint-disable-next-line no-await-in-loop
      await vi.waitFor(() => expect(names()).toEqual([`${name}2`]), WAIT);
    }
  });

  test("links are followed, also in a circle", async () => {
    mkdirSync(join(root, "real"));
    write("real/a.yaml", service("a"));
    symlinkSync(root, join(root, "real", "loop"));
    symlinkSync(join(root, "real", "a.yaml"), join(root, "b.yaml"));
    await start();
    expect(names()).toEqual(["a", "a"]);
  });
});
