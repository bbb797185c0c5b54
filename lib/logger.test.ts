import { describe, expect, test } from "vitest";
import { createLogger } from "./logger.ts";
import type { LogLevel } from "./runtime.ts";

function setUp(level: LogLevel = "info") {
  const lines: string[] = [];
  const log = createLogger({
    level,
    now: () => Date.UTC(2026, 10, 21, 1, 2, 3, 456),
    pid: 7,
    write: (line) => lines.push(line),
  });
  return { log, lines };
}

describe("logger", () => {
  test("writes Envoy's format", () => {
    const { log, lines } = setUp();
    log.child("upstream").info("hello");
    log.warning("there", { cluster: "a", reason: "x y", error: new Error("bad"), n: 1 });
    expect(lines).toEqual([
      "[2026-11-21 01:02:03.456][7][info][upstream] hello\n",
      '[2026-11-21 01:02:03.456][7][warning][main] there cluster=a reason="x y" error=bad n=1\n',
    ]);
  });

  test("a peer's bytes can't forge a line", () => {
    const { log, lines } = setUp();
    log.info("a\n[2026-11-21 01:02:03.456][7][info][main] forged\u001b[31m", { field: "b\nc" });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.match(/\n/g)).toHaveLength(1);
    expect(lines[0]).not.toContain("\u001b");
  });

  test("levels belong to components; the root's sets all", () => {
    const { log, lines } = setUp("warning");
    const http = log.child("http");
    expect(http).toBe(log.child("http"));
    http.info("silent");
    http.level = "debug";
    http.debug("heard");
    log.debug("silent");
    log.level = "off";
    http.error("silent");
    log.level = "trace";
    http.log("trace", "heard");
    expect(lines.map((line) => line.slice(line.lastIndexOf("]") + 2, -1))).toEqual(["heard", "heard"]);
    expect(log.components().map(({ component, level }) => [component, level])).toEqual([
      ["main", "trace"],
      ["http", "trace"],
    ]);
  });

  test("a component that is asked for later begins with the root's level", () => {
    const { log } = setUp();
    log.level = "debug";
    expect(log.child("config").level).toBe("debug");
  });
});
