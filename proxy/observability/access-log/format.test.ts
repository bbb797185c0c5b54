import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { Connection, PeerCertificate } from "#lib/connection.ts";
import { HeaderMap } from "../../http/header-map.ts";
import { ResponseFlag, StreamInfo } from "../../stream-info.ts";
import { compileFormat, formatEnvironment, type FormatOptions } from "./format.ts";
import { compileJsonFormat } from "./json-format.ts";
import type { FormatContext } from "./types.ts";

type Pairs = readonly (readonly [string, string])[];

interface Vector {
  readonly format: string;
  readonly out: string;
  readonly ctx?: string;
  readonly protocol?: "HTTP/1.1";
  readonly start_time_us?: number;
  readonly cert_valid_from_us?: number;
  readonly hostname?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly request_headers?: Pairs;
  readonly response_headers?: Pairs;
  readonly request_duration_ms?: number;
  readonly filter_state?: Readonly<Record<string, string>>;
}

interface Vectors {
  readonly contexts: Readonly<
    Record<
      string,
      {
        readonly request_headers?: Pairs;
        readonly response_headers?: Pairs;
        readonly response_trailers?: Pairs;
        readonly dynamic_metadata?: Readonly<Record<string, Record<string, unknown>>>;
      }
    >
  >;
  readonly text: readonly Vector[];
  readonly parse_error: readonly string[];
  readonly parse_ok: readonly string[];
  readonly json: readonly (Omit<Vector, "format" | "out"> & {
    readonly name: string;
    readonly format: Readonly<Record<string, unknown>>;
    readonly out?: unknown;
    readonly out_exact?: string;
  })[];
}

const file = fileURLToPath(new URL("../../../../shared/vectors/access_log_format.json", import.meta.url));
const vectors = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Vectors) : undefined;

describe.skipIf(vectors === undefined)("the vectors folder beside the checkout: access log formats", () => {
  const { contexts, text, parse_error, parse_ok, json } = vectors ?? {
    contexts: {},
    text: [],
    parse_error: [],
    parse_ok: [],
    json: [],
  };

  test.each(text.map((vector, index) => [index, vector] as const))("text %i", (_, vector) => {
    const { value, problems } = compileFormat(vector.format, optionsOf(vector));
    expect(problems).toEqual([]);
    expect(value?.(contextOf(vector))).toBe(vector.out);
  });

  test.each(parse_error)("refuses %j", (format) => {
    expect(compileFormat(format).problems).toHaveLength(1);
  });

  test.each(parse_ok)("takes %j", (format) => {
    expect(compileFormat(format).problems).toEqual([]);
  });

  test.each(json)("json $name", (vector) => {
    const { value, problems } = compileJsonFormat(vector.format, optionsOf(vector));
    expect(problems).toEqual([]);
    const line = value?.(contextOf(vector)) ?? "";
    if (vector.out_exact === undefined) expect(JSON.parse(line)).toEqual(vector.out);
    else expect(line).toBe(vector.out_exact);
  });

  function optionsOf(vector: Pick<Partial<Vector>, "hostname" | "env">): FormatOptions {
    const environment = formatEnvironment();
    return {
      environment: {
        ...environment,
        hostname: vector.hostname ?? environment.hostname,
        variables: vector.env ?? environment.variables,
      },
    };
  }

  function contextOf(vector: Partial<Omit<Vector, "format" | "out">>): FormatContext {
    const shared = contexts[vector.ctx ?? ""] ?? {};
    const info = new StreamInfo();
    info.protocol = vector.protocol;
    info.startTimeMs = (vector.start_time_us ?? 0) / 1000;
    if (vector.request_duration_ms !== undefined) {
      info.start = 100;
      info.requestEnd = 100 + vector.request_duration_ms;
    }
    if (vector.cert_valid_from_us !== undefined)
      info.connection = {
        tls: { peer: { validFromMs: vector.cert_valid_from_us / 1000 } as PeerCertificate },
      } as unknown as Connection;
    if (shared.dynamic_metadata !== undefined) info.dynamicMetadata = new Map(Object.entries(shared.dynamic_metadata));
    if (vector.filter_state !== undefined) {
      const stateOf = (text: string): unknown => (text.startsWith("StringAccessor ") ? text.slice(15) : new Opaque());
      info.filterState = new Map(Object.entries(vector.filter_state).map(([key, text]) => [key, stateOf(text)]));
    }
    return {
      info,
      requestHeaders: HeaderMap.of(vector.request_headers ?? shared.request_headers ?? []),
      responseHeaders: HeaderMap.of(vector.response_headers ?? shared.response_headers ?? []),
      responseTrailers: HeaderMap.of(shared.response_trailers ?? []),
    };
  }

  class Opaque {}
});

describe("compileFormat", () => {
  const istio =
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

  test("Istio's line of a failed request", () => {
    const info = new StreamInfo();
    info.startTimeMs = Date.UTC(2024, 1, 2, 3, 4, 5, 6);
    info.start = 10;
    info.end = 17.9;
    info.protocol = "HTTP/1.1";
    info.responseCode = 503;
    info.responseCodeDetails = "upstream_reset_before_response_started{connection failure}";
    info.flags = ResponseFlag.UpstreamConnectionFailure | ResponseFlag.UpstreamRetryLimitExceeded;
    info.upstreamTransportFailureReason = "delayed connect error: 111";
    info.downstreamRemoteAddress = "10.0.0.9:4711";
    info.routeName = "default";
    info.requestedServerName = "a b.example";
    const requestHeaders = HeaderMap.of({ ":method": "GET", ":path": "/a?b", ":authority": "reviews" });
    const { value } = compileFormat(istio);
    expect(value?.({ info, requestHeaders })).toBe(
      '[2024-02-02T03:04:05.006Z] "GET /a?b HTTP/1.1" 503 URX,UF upstream_reset_before_response_started{connection_failure} - "delayed_connect_error:_111" 0 0 7 - "-" "-" "-" "reviews" "-" - - - 10.0.0.9:4711 a_b.example default\n',
    );
  });

  test("text of the configuration is written as UTF-8, header bytes as they came", () => {
    const { value } = compileFormat("ü%REQ(a)%");
    const requestHeaders = HeaderMap.of({ a: Buffer.from("é", "utf8").toString("latin1") });
    const line = value?.({ info: new StreamInfo(), requestHeaders }) ?? "";
    expect(Buffer.from(line, "latin1").toString("utf8")).toBe("üé");
  });

  test("an operator that is not there is refused by name, with the way out", () => {
    const { problems } = compileFormat("%TLS_JA3_FINGERPRINT%", { path: "access_log[0].text_format" });
    expect(problems).toEqual([
      {
        code: "invalid-format",
        level: "error",
        path: "access_log[0].text_format",
        message: "the command operator %TLS_JA3_FINGERPRINT% is not implemented: leave it out of the format",
      },
    ]);
    expect(compileFormat("%NOPE%").problems[0]?.message).toContain("there is no such command operator");
  });

  test("omit_empty_values prints nothing for what is missing", () => {
    expect(compileFormat("[%REQ(a)%]", { omitEmptyValues: true }).value?.({ info: new StreamInfo() })).toBe("[]");
    const { value } = compileJsonFormat({ a: "%REQ(a)%", b: { c: "%REQ(a)%" }, d: 1 }, { omitEmptyValues: true });
    expect(value?.({ info: new StreamInfo() })).toBe('{"d":1}\n');
  });

  test("an address loses its port, also an IPv6 one", () => {
    const info = new StreamInfo();
    info.downstreamRemoteAddress = "[::1]:80";
    const { value } = compileFormat("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%");
    expect(value?.({ info })).toBe("::1 80");
  });

  test("a TCP connection has no headers, and 0 for a status", () => {
    expect(compileFormat("%RESPONSE_CODE% %REQ(:PATH)%").value?.({ info: new StreamInfo() })).toBe("0 -");
  });
});

describe("compileJsonFormat", () => {
  test("a value that is missing is null, and - between other text", () => {
    const { value } = compileJsonFormat({ a: "%REQ(a)%", b: "%REQ(a)%|%PROTOCOL%", c: "%RESPONSE_CODE%", d: "100%%" });
    expect(value?.({ info: new StreamInfo() })).toBe('{"a":null,"b":"-|-","c":0,"d":"100%"}\n');
  });

  test("a wrong operator names its key", () => {
    expect(compileJsonFormat({ a: { b: ["x", "%NO%"] } }, { path: "json_format" }).problems[0]?.path).toBe(
      "json_format.a.b[1]",
    );
  });
});
