import type { Connection, TlsInfo } from "#lib/connection.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { describe, expect, test } from "vitest";
import { StreamInfo } from "../stream-info.ts";
import type { ClientCertificateConfig, ForwardingConfig } from "./connection-manager-config.ts";
import { setForwardedClientCert } from "./forwarded-client-cert.ts";
import { HeaderMap } from "./header-map.ts";
import { sanitizeRequest, type RequestTraits } from "./request-headers.ts";
import { RecordingConnection } from "./testing/recording-connection.ts";

const defaults: ForwardingConfig = {
  useRemoteAddress: false,
  xffNumTrustedHops: 0,
  skipXffAppend: false,
  originalIpDetections: [],
  appendXForwardedPort: false,
  internalCidrs: [],
  internalUnixSockets: false,
  via: "",
  addUserAgent: false,
  generateRequestId: true,
  preserveExternalRequestId: false,
  alwaysSetRequestIdInResponse: false,
  packTraceReason: true,
  useRequestIdForTraceSampling: true,
};
const tenSlashEight = { family: 4, bits: 10n << 24n, prefixLength: 8 } as const;
const { random } = simulatedRuntime();

function from(address: string, tls?: TlsInfo): Connection {
  const connection = new RecordingConnection();
  return Object.assign(connection, {
    remoteAddress: { kind: "ip", address, port: 1234 },
    localAddress: { kind: "ip", address: "10.0.0.1", port: 8080 },
    tls,
  });
}

const encrypted: TlsInfo = { version: "TLSv1.3", cipher: "x", resumed: false };

function sanitize(
  fields: Record<string, string>,
  config: Partial<ForwardingConfig> = {},
  connection: Connection = from("192.0.2.1"),
  isUpgrade = false,
  schemeOverride?: string,
): { readonly headers: HeaderMap; readonly info: StreamInfo; readonly traits: RequestTraits } {
  const headers = HeaderMap.of(fields);
  const info = new StreamInfo();
  const context = {
    config: { ...defaults, ...config },
    schemeOverride,
    random,
    hostAddress: "192.0.2.99",
    serviceCluster: "web.ns",
    serviceNode: "node-1",
  };
  return { headers, info, traits: sanitizeRequest(headers, info, connection, context, isUpgrade) };
}

describe("request headers", () => {
  test("R-77 what only an internal request may say is taken off, and who is internal is told", () => {
    const said = {
      "x-envoy-internal": "true",
      "x-envoy-retry-on": "5xx",
      "x-envoy-upstream-rq-timeout-ms": "1",
      "x-keep": "1",
    };
    expect(
      sanitize(said)
        .headers.entries()
        .map(([name]) => name),
    ).not.toContain("x-envoy-retry-on");
    expect(sanitize(said).headers.has("x-envoy-internal")).toBe(false);
    expect(sanitize(said).headers.get("x-keep")).toBe("1");
    const internal = sanitize(said, { useRemoteAddress: true, internalCidrs: [tenSlashEight] }, from("10.1.2.3"));
    expect(internal.headers.get("x-envoy-internal")).toBe("true");
    expect(internal.headers.get("x-envoy-retry-on")).toBe("5xx");
  });

  test("R-77 at the edge, also what only our own proxies say", () => {
    const said = { "x-envoy-decorator-operation": "x", "x-envoy-original-path": "/y" };
    expect(sanitize(said).headers.size).toBe(4); // with x-forwarded-proto and x-request-id
    expect(sanitize(said, { useRemoteAddress: true }).headers.has("x-envoy-original-path")).toBe(false);
  });

  test("R-77 without use_remote_address: one internal hop in x-forwarded-for is internal, two are not", () => {
    const config = { internalCidrs: [tenSlashEight] };
    expect(sanitize({ "x-forwarded-for": "10.0.0.5" }, config).traits.isInternal).toBe(true);
    expect(sanitize({ "x-forwarded-for": "192.0.2.7,10.0.0.5" }, config).traits.isInternal).toBe(false);
    expect(sanitize({ "x-forwarded-for": "10.0.0.5" }).traits.isInternal).toBe(false);
  });

  test("R-78 use_remote_address appends the peer, or the machine's own address for loopback", () => {
    const config = { useRemoteAddress: true };
    expect(sanitize({}, config).headers.get("x-forwarded-for")).toBe("192.0.2.1");
    expect(sanitize({ "x-forwarded-for": "1.2.3.4" }, config).headers.get("x-forwarded-for")).toBe("1.2.3.4,192.0.2.1");
    expect(sanitize({}, config, from("127.0.0.1")).headers.get("x-forwarded-for")).toBe("192.0.2.99");
    expect(sanitize({}, { ...config, skipXffAppend: true }).headers.has("x-forwarded-for")).toBe(false);
  });

  test("R-78 with trusted hops the client is the entry that the first of them wrote", () => {
    const { info } = sanitize(
      { "x-forwarded-for": "1.1.1.1, 2.2.2.2, 3.3.3.3" },
      { useRemoteAddress: true, xffNumTrustedHops: 2 },
    );
    expect(info.downstreamRemoteAddress).toBe("2.2.2.2:0");
  });

  test("R-79 without use_remote_address the header is left alone and names the client", () => {
    const { headers, info } = sanitize({ "x-forwarded-for": "1.1.1.1,2001:db8::1" });
    expect(headers.get("x-forwarded-for")).toBe("1.1.1.1,2001:db8::1");
    expect(info.downstreamRemoteAddress).toBe("[2001:db8::1]:0");
    expect(sanitize({ "x-forwarded-for": "nonsense" }).info.downstreamRemoteAddress).toBe("");
  });

  test("R-80 x-forwarded-proto: kept behind a proxy, overwritten at the edge", () => {
    expect(sanitize({}).headers.get("x-forwarded-proto")).toBe("http");
    expect(sanitize({}, {}, from("192.0.2.1", encrypted)).headers.get("x-forwarded-proto")).toBe("https");
    expect(sanitize({ "x-forwarded-proto": "https" }).headers.get("x-forwarded-proto")).toBe("https");
    expect(
      sanitize({ "x-forwarded-proto": "https" }, { useRemoteAddress: true }).headers.get("x-forwarded-proto"),
    ).toBe("http");
    const trusting = { useRemoteAddress: true, xffNumTrustedHops: 1 };
    expect(sanitize({ "x-forwarded-proto": "https" }, trusting).headers.get("x-forwarded-proto")).toBe("https");
    expect(sanitize({}, { useRemoteAddress: true, appendXForwardedPort: true }).headers.get("x-forwarded-port")).toBe(
      "8080",
    );
  });

  test("R-80, R-81 the scheme: overridden, from the header, or of the connection", () => {
    expect(sanitize({}).headers.scheme).toBe("http");
    expect(sanitize({ "x-forwarded-proto": "HTTPS" }).headers.scheme).toBe("https");
    expect(sanitize({ "x-forwarded-proto": "ftp" }).headers.scheme).toBe("http");
    expect(sanitize({}, {}, from("192.0.2.1"), false, "https").headers.get("x-forwarded-proto")).toBe("https");
  });

  test("R-82 a request id is made when there is none, and at the edge", () => {
    expect(sanitize({}).headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    expect(sanitize({ "x-request-id": "mine" }).headers.get("x-request-id")).toBe("mine");
    expect(sanitize({ "x-request-id": "mine" }, { useRemoteAddress: true }).headers.get("x-request-id")).not.toBe(
      "mine",
    );
    const preserving = { useRemoteAddress: true, preserveExternalRequestId: true };
    expect(sanitize({ "x-request-id": "mine" }, preserving).headers.get("x-request-id")).toBe("mine");
    expect(sanitize({}, { generateRequestId: false }).headers.has("x-request-id")).toBe(false);
  });

  test("R-85 via is appended; add_user_agent announces the service", () => {
    expect(sanitize({ via: "1.0 a" }, { via: "1.1 b" }).headers.get("via")).toBe("1.0 a, 1.1 b");
    const { headers } = sanitize({}, { addUserAgent: true });
    expect(headers.get("user-agent")).toBe("web.ns");
    expect(headers.get("x-envoy-downstream-service-node")).toBe("node-1");
    expect(sanitize({ "user-agent": "curl" }, { addUserAgent: true }).headers.get("user-agent")).toBe("curl");
  });

  test("R-86 hop-by-hop fields go; TE keeps only trailers", () => {
    const hop = {
      connection: "x",
      "keep-alive": "5",
      "proxy-connection": "x",
      "transfer-encoding": "chunked",
      upgrade: "h2c",
    };
    expect(sanitize(hop).headers.names).toEqual(["x-forwarded-proto", "x-request-id"]);
    expect(sanitize(hop, {}, from("192.0.2.1"), true).headers.names).toContain("upgrade");
    expect(sanitize({ te: "deflate, Trailers" }).headers.get("te")).toBe("trailers");
    expect(sanitize({ te: "trailers;q=0.5" }).headers.has("te")).toBe(false);
    expect(sanitize({ te: "deflate" }).headers.has("te")).toBe(false);
  });
});

describe("R-84 x-forwarded-client-cert", () => {
  const none: ClientCertificateConfig = {
    mode: "sanitize",
    subject: false,
    cert: false,
    chain: false,
    dns: false,
    uri: false,
    issuer: false,
  };
  const peer = {
    verified: true,
    uriSans: ["spiffe://cluster.local/ns/a/sa/b"],
    dnsSans: ["b.a", "b"],
    subject: 'CN="x"',
    issuer: "CN=root",
    serialNumber: "1",
    sha256: "ab".repeat(32),
    validFromMs: 0,
    validToMs: 0,
    der: Buffer.from("der"),
  };
  const local = { ...peer, uriSans: ["spiffe://cluster.local/ns/a/sa/me"] };
  const mutual = from("192.0.2.1", { ...encrypted, peer, local });

  function xfcc(config: Partial<ClientCertificateConfig>, connection: Connection, before?: string): string | undefined {
    const headers = HeaderMap.of(before === undefined ? {} : { "x-forwarded-client-cert": before });
    setForwardedClientCert(headers, before !== undefined, connection, { ...none, ...config });
    return headers.get("x-forwarded-client-cert");
  }

  test("is dropped by default, and without mutual TLS", () => {
    expect(xfcc({}, mutual, "Hash=1")).toBeUndefined();
    for (const mode of ["forward-only", "append-forward", "sanitize-set"] as const)
      expect(xfcc({ mode }, from("192.0.2.1"), "Hash=1")).toBeUndefined();
    const unverified = from("192.0.2.1", { ...encrypted, peer: { ...peer, verified: false } });
    expect(xfcc({ mode: "append-forward" }, unverified, "Hash=1")).toBeUndefined();
    expect(xfcc({ mode: "always-forward-only" }, from("192.0.2.1"), "Hash=1")).toBe("Hash=1");
  });

  test("is kept, extended or replaced", () => {
    const element = `By=spiffe://cluster.local/ns/a/sa/me;Hash=${"ab".repeat(32)}`;
    expect(xfcc({ mode: "forward-only" }, mutual, "Hash=1")).toBe("Hash=1");
    expect(xfcc({ mode: "append-forward" }, mutual, "Hash=1")).toBe(`Hash=1,${element}`);
    expect(xfcc({ mode: "sanitize-set" }, mutual, "Hash=1")).toBe(element);
  });

  test("tells what is asked for, in Envoy's order; quotes cannot end a value", () => {
    expect(xfcc({ mode: "sanitize-set", subject: true, uri: true, dns: true }, mutual)).toBe(
      `By=spiffe://cluster.local/ns/a/sa/me;Hash=${"ab".repeat(32)};Subject="CN=\\"x\\"";URI=spiffe://cluster.local/ns/a/sa/b;DNS=b.a;DNS=b`,
    );
    expect(xfcc({ mode: "sanitize-set", dns: true, issuer: true }, mutual)).toMatch(/;DNS=b;Issuer="CN=root"$/);
    expect(xfcc({ mode: "sanitize-set", cert: true }, mutual)).toContain('Cert="-----BEGIN%20CERTIFICATE-----%0A');
  });
});
