import { describe, expect, test } from "vitest";
import { encodeProxyV1, encodeProxyV2, parseProxyHeader, type ProxyTlv } from "#lib/proxy-protocol.ts";
import { simulatedRandom } from "#lib/simulated-random.ts";
import type { SocketAddress } from "#lib/connection.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { PROXY_PROTOCOL_STATE } from "../tls/types.ts";
import type { AcceptedFacts } from "./listener-filters.ts";
import { PLAIN_PROXY_PROTOCOL, proxyProtocolFilter, type ProxyProtocolFilterConfig } from "./proxy-protocol.ts";

function filter(config: Partial<ProxyProtocolFilterConfig> = {}) {
  const store = createStatsStore();
  const made = proxyProtocolFilter({ ...PLAIN_PROXY_PROTOCOL, ...config }, store.root);
  const here = { kind: "ip", address: "10.0.0.1", port: 80 } as const;
  const facts = {
    localAddress: here as SocketAddress,
    isLocalAddressRestored: false,
    remoteAddress: { kind: "ip", address: "10.0.0.9", port: 9 } as SocketAddress,
    directRemoteAddress: { kind: "ip", address: "10.0.0.9", port: 9 } as SocketAddress,
    transportProtocol: "",
    serverName: "",
    applicationProtocols: [],
    filterState: new Map<string, unknown>(),
    dynamicMetadata: new Map<string, Record<string, unknown>>(),
    setMetadata(namespace: string, key: string, value: unknown) {
      facts.dynamicMetadata.set(namespace, { ...facts.dynamicMetadata.get(namespace), [key]: value });
    },
    readdress(remote: SocketAddress) {
      facts.remoteAddress = remote;
    },
  } satisfies AcceptedFacts;
  const count = (name: string): number => [...store.counters()].find((stat) => stat.name === name)?.value ?? 0;
  return {
    facts,
    count,
    inspect: (bytes: Buffer | string) => made.inspect?.(Buffer.from(bytes as string, "latin1"), facts),
  };
}

const LINE = "PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n";
const FROM = { kind: "ip", address: "1.2.3.4", port: 11 } as const;
const TO = { kind: "ip", address: "5.6.7.8", port: 22 } as const;

describe("envoy.filters.listener.proxy_protocol", () => {
  test("takes the header off and believes both addresses", () => {
    const { inspect, facts, count } = filter();
    expect(inspect(`${LINE}rest`)).toBe(LINE.length);
    expect(facts).toMatchObject({ remoteAddress: FROM, localAddress: TO, isLocalAddressRestored: true });
    expect(count("proxy_proto.versions.v1.found")).toBe(1);
  });

  test("waits for the rest of a header, byte by byte", () => {
    const { inspect } = filter();
    const v2 = encodeProxyV2(FROM, TO, [{ type: 5, value: Buffer.from("x") }]) as Buffer;
    for (const bytes of [Buffer.from(LINE), v2]) {
      for (let length = 1; length < bytes.length; length++) expect(inspect(bytes.subarray(0, length))).toBe("more");
      expect(inspect(bytes)).toBe(bytes.length);
    }
  });

  test("refuses a connection without a header, unless it may come without", () => {
    const strict = filter();
    expect(strict.inspect("GET / HTTP/1.1\r\n")).toBe("refuse");
    expect(strict.count("proxy_proto.not_found_disallowed")).toBe(1);
    const lenient = filter({ allowsRequestsWithout: true, statPrefix: "p" });
    expect(lenient.inspect("G")).toBe("done");
    expect(lenient.count("proxy_proto.p.not_found_allowed")).toBe(1);
  });

  test("a malformed header is refused, though a connection may come without one", () => {
    const { inspect, count } = filter({ allowsRequestsWithout: true });
    expect(inspect("PROXY TCP4 nonsense\r\n")).toBe("refuse");
    expect(count("proxy_proto.versions.v1.error")).toBe(1);
    expect(count("downstream_cx_proxy_proto_error")).toBe(1);
  });

  test("a version that is disallowed is refused", () => {
    const { inspect, count } = filter({ disallowed: new Set([1]) });
    expect(inspect(LINE)).toBe("refuse");
    expect(count("proxy_proto.versions.v1.disallowed")).toBe(1);
  });

  test("rules make dynamic metadata of TLVs, others may be passed on", () => {
    const { inspect, facts } = filter({
      rules: [{ type: 2, namespace: "n", key: "k" }],
      passThrough: { matches: (type) => type === 5 },
    });
    const value = Buffer.from([0x61, 0xff, 0xc3, 0xa9]);
    inspect(
      encodeProxyV2(FROM, TO, [
        { type: 2, value },
        { type: 5, value },
      ]) as Buffer,
    );
    expect(facts.dynamicMetadata.get("n")).toEqual({ k: "a!é" });
    expect(facts.filterState.get(PROXY_PROTOCOL_STATE)).toEqual({
      source: FROM,
      destination: TO,
      tlvs: [{ type: 5, value }],
    });
  });
});

describe("PROXY protocol header", () => {
  const random = simulatedRandom(7);
  const below = (limit: number): number => random.uint32() % limit;
  const v4 = (): string => `${1 + below(223)}.${below(256)}.${below(256)}.${below(256)}`;
  const v6 = (): string =>
    `fd00:${Array.from({ length: 6 }, () => (below(3) === 0 ? 0 : below(0x10000)).toString(16)).join(":")}:1`;

  test("what is encoded is read back: any addresses, any TLVs", () => {
    for (let round = 0; round < 500; round++) {
      const address = below(2) === 0 ? v4 : v6;
      const source = { kind: "ip", address: address(), port: below(65_536) } as const;
      const destination = { kind: "ip", address: address(), port: below(65_536) } as const;
      const tlvs: ProxyTlv[] = Array.from({ length: below(4) }, () => ({
        type: below(256),
        value: Buffer.from(random.bytes(below(300))),
      }));
      const rest = Buffer.from(random.bytes(below(20)));
      for (const bytes of [encodeProxyV1(source, destination), encodeProxyV2(source, destination, tlvs) as Buffer]) {
        const result = parseProxyHeader(Buffer.concat([bytes, rest]));
        if (result.kind !== "header") throw new Error(JSON.stringify(result));
        const { header } = result;
        expect(header.length).toBe(bytes.length);
        expect(header.source?.port).toBe(source.port);
        expect(encodeProxyV2(header.source as SocketAddress, header.destination as SocketAddress, [])).toEqual(
          encodeProxyV2(source, destination, []),
        );
        if (header.version === 2) expect(header.tlvs).toEqual(tlvs);
      }
    }
  });

  test("whatever the bytes, it ends with an answer, and more bytes never change a refusal", () => {
    const starts = [Buffer.from(LINE), encodeProxyV2(FROM, TO, [{ type: 1, value: Buffer.from("abc") }]) as Buffer];
    for (let round = 0; round < 2000; round++) {
      const bytes = Buffer.concat([starts[round % 2] as Buffer, Buffer.from(random.bytes(below(120)))]);
      for (let changes = below(3); changes > 0; changes--) bytes[below(bytes.length)] = below(256);
      let refused: string | undefined;
      for (let length = 1; length <= bytes.length; length++) {
        const { kind } = parseProxyHeader(bytes.subarray(0, length));
        if (refused !== undefined) expect(kind).toBe(refused);
        if (kind === "none" || kind === "invalid") refused = kind;
      }
    }
  });

  test("TLVs that do not fit are not encoded", () => {
    expect(encodeProxyV2(FROM, TO, [{ type: 1, value: Buffer.alloc(65_530) }])).toBeUndefined();
  });
});
