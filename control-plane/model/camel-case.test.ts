import { describe, expect, test } from "vitest";
import { inCamelCase } from "./camel-case.ts";

describe("protobuf JSON names", () => {
  test("both spellings of a field mean the same, in messages and lists", () => {
    const written = {
      access_log_file: "/dev/stdout",
      mesh_mTLS: {},
      list: [{ name: "a", envoy_file_access_log: { path: "x" } }],
    };
    expect(inCamelCase(written)).toEqual({
      accessLogFile: "/dev/stdout",
      meshMTLS: {},
      list: [{ name: "a", envoyFileAccessLog: { path: "x" } }],
    });
  });

  test("keys that people choose stay as they are", () => {
    const written = { proxy_metadata: { a_b: "1" }, labels: { start_time: "%START_TIME%" }, UPPER_CASE: 1 };
    expect(inCamelCase(written)).toEqual({
      proxyMetadata: { a_b: "1" },
      labels: { start_time: "%START_TIME%" },
      UPPER_CASE: 1,
    });
  });
});
