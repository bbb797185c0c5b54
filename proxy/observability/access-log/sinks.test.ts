import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { AccessLog } from "#protos/gen/envoy/config/accesslog/v3/accesslog_pb.js";
import { HeaderMap } from "../../http/header-map.ts";
import { ResponseFlag, StreamInfo } from "../../stream-info.ts";
import { createStatsStore } from "../stats-store.ts";
import { createAccessLogs, type AccessLogs } from "./sinks.ts";
import { parseAccessLogs } from "./parse.ts";
import type { AccessLogConfig } from "./types.ts";

let directory = "";
let path = "";
const stats = createStatsStore();
let sinks: AccessLogs;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-access-log-"));
  path = join(directory, "access.log");
  sinks = createAccessLogs({
    runtime: nodeRuntime({ logLevel: "off" }),
    scope: stats.root,
    clusters: { get: () => undefined },
    node: { id: "", cluster: "", metadata: {}, locality: { region: "", zone: "", subZone: "" } },
    flushIntervalMs: 20,
  });
});
afterEach(async () => {
  await sinks.close();
  rmSync(directory, { recursive: true });
});

function parse(...entries: readonly Readonly<Record<string, unknown>>[]) {
  const messages = entries.map((entry) => {
    const { value, problems } = messageFromJson("envoy.config.accesslog.v3.AccessLog", entry);
    expect(problems).toEqual([]);
    return value as AccessLog;
  });
  return parseAccessLogs(messages, "access_log");
}

function file(config: Readonly<Record<string, unknown>>, filter?: Readonly<Record<string, unknown>>) {
  return {
    name: "envoy.access_loggers.file",
    ...(filter === undefined ? {} : { filter }),
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path,
      ...config,
    },
  };
}

function configs(...entries: readonly Readonly<Record<string, unknown>>[]): readonly AccessLogConfig[] {
  const { value, problems } = parse(...entries);
  expect(problems).toEqual([]);
  return value ?? [];
}

const lines = (): string[] => readFileSync(path, "utf8").split("\n").slice(0, -1);

describe("access-log files", () => {
  test("lines of several loggers go to one file, whole and in order, at the latest when it is closed", async () => {
    const format = { log_format: { text_format_source: { inline_string: "%ROUTE_NAME%\n" } } };
    const first = sinks.logger(configs(file(format)));
    const second = sinks.logger(configs(file(format)));
    for (let i = 0; i < 30_000; i++) (i % 2 === 0 ? first : second)?.log({ info: route(`route-${i}`) });
    await sinks.close();
    expect(lines()).toEqual(Array.from({ length: 30_000 }, (_, i) => `route-${i}`));
  });

  test("the timer writes what is gathered", async () => {
    sinks.logger(configs(file({ format: "%ROUTE_NAME%\n" })))?.log({ info: route("a") });
    await expect.poll(lines).toEqual(["a"]);
    const written = stats.root.counter("filesystem.flushed_by_timer");
    expect(written.value).toBeGreaterThan(0);
  });

  test("a rotated file is opened anew and no line is lost", async () => {
    const log = sinks.logger(configs(file({ format: "%ROUTE_NAME%\n" })));
    log?.log({ info: route("old") });
    renameSync(path, `${path}.1`);
    sinks.reopen();
    log?.log({ info: route("new") });
    await sinks.close();
    expect(readFileSync(`${path}.1`, "utf8")).toBe("old\n");
    expect(lines()).toEqual(["new"]);
  });

  test("a file that can't be opened is an error that names it and the way out", () => {
    path = join(directory, "none", "access.log");
    expect(() => sinks.logger(configs(file({})))).toThrow(
      /unable to open the access log file '.*none\/access\.log'.*Create its directory/,
    );
  });

  test("an unknown sink, field or operator is refused by name", () => {
    const { problems } = parse(
      {
        name: "wasm",
        typed_config: { "@type": "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog" },
      },
      file({ format: "%NO%" }),
    );
    expect(problems.map(({ path: at, message }) => `${at}: ${message}`)).toEqual([
      "access_log[0].typed_config: access log envoy.extensions.access_loggers.wasm.v3.WasmAccessLog is not supported by this proxy: log to a file (envoy.access_loggers.file)",
      "access_log[1].typed_config.format: Not supported field in StreamInfo: NO: there is no such command operator",
    ]);
  });
});

describe("access-log filters", () => {
  const failed = { ...context({ code: 503, flags: ResponseFlag.NoHealthyUpstream, ms: 1500 }) };
  const fine = { ...context({ code: 200, flags: 0, ms: 3 }) };

  test.each([
    ["status_code_filter", { comparison: { op: "GE", value: { default_value: 500, runtime_key: "k" } } }],
    ["duration_filter", { comparison: { op: "GE", value: { default_value: 1000, runtime_key: "k" } } }],
    ["response_flag_filter", { flags: ["UH", "UF"] }],
    ["response_flag_filter", {}],
    ["header_filter", { header: { name: "x-code", string_match: { exact: "503" } } }],
    ["grpc_status_filter", { statuses: ["UNAVAILABLE"] }],
    [
      "and_filter",
      {
        filters: [
          { not_health_check_filter: {} },
          { or_filter: { filters: [{ traceable_filter: {} }, { response_flag_filter: {} }] } },
        ],
      },
    ],
    [
      "extension_filter",
      {
        name: "cel",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
          expression: "response.code >= 500",
        },
      },
    ],
    [
      "metadata_filter",
      { matcher: { filter: "ns", path: [{ key: "code" }], value: { string_match: { prefix: "5" } } } },
    ],
    ["log_type_filter", { types: ["TcpConnectionEnd"] }],
  ])("%s chooses", (kind, filter) => {
    const [config] = configs(file({}, { [kind]: filter }));
    const test = config?.filter?.(nodeRuntime({ logLevel: "off" }).random, undefined);
    expect([test?.(failed), test?.(fine)]).toEqual([true, false]);
  });

  test("what is not a flag is refused", () => {
    expect(parse(file({}, { response_flag_filter: { flags: ["XX"] } })).problems[0]?.message).toContain(
      "no response flag XX",
    );
  });

  function context({ code, flags, ms }: { code: number; flags: number; ms: number }) {
    const info = new StreamInfo();
    info.responseCode = code;
    info.flags = flags;
    info.start = 100;
    info.end = 100 + ms;
    info.dynamicMetadata = new Map([["ns", { code: String(code) }]]);
    return {
      info,
      requestHeaders: HeaderMap.of({ "x-code": String(code) }),
      responseHeaders: HeaderMap.of(code === 200 ? { "grpc-status": "0" } : {}),
      accessLogType: code === 200 ? ("DownstreamEnd" as const) : ("TcpConnectionEnd" as const),
    };
  }
});

function route(name: string): StreamInfo {
  const info = new StreamInfo();
  info.routeName = name;
  return info;
}
