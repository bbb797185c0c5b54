import { appendFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CallLogReader, requestIdKey } from "./call-log.ts";

const line = (id: string): string =>
  `${JSON.stringify({ id, code: 200, flags: "-", details: "via_upstream", host: "127.0.0.1:1", cluster: "c", authority: "a", duration: 3 })}\n`;

test("only what was appended since the last look is read, and a half line waits for its rest", () => {
  const path = join(mkdtempSync(join(tmpdir(), "glassmesh-")), "calls.json");
  writeFileSync(path, line("old"));
  const reader = new CallLogReader(path);
  expect(reader.read()).toEqual([]);
  const second = line("two");
  appendFileSync(path, line("one") + second.slice(0, 10));
  expect(reader.read().map((call) => call.id)).toEqual(["one"]);
  appendFileSync(path, second.slice(10));
  expect(reader.read()).toMatchObject([{ id: "two", code: 200, flags: "-", host: "127.0.0.1:1", durationMs: 3 }]);
});

test("a request id is the same whatever its trace reason", () => {
  expect(requestIdKey("0d3c2d8e-7c7f-4a2c-9d53-8a9d2f9b4f0a")).toBe(
    requestIdKey("0d3c2d8e-7c7f-9a2c-9d53-8a9d2f9b4f0a"),
  );
});
