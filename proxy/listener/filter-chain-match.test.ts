import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseIp, type CidrRange } from "../http/cidr.ts";
import { FilterChainMatcher, type ConnectionFacts, type FilterChainMatch } from "./filter-chain-match.ts";
import { ANY_CONNECTION } from "./parse-filter-chain.ts";

const facts: ConnectionFacts = {
  destinationAddress: "10.0.0.1",
  destinationPort: 80,
  serverName: "",
  transportProtocol: "raw_buffer",
  applicationProtocols: [],
  directSourceAddress: "10.9.9.9",
  sourceAddress: "10.9.9.9",
  sourcePort: 4000,
};

function range(text: string): CidrRange {
  const [address = "", length = ""] = text.split("/");
  const ip = parseIp(address);
  if (ip === undefined) throw new Error(text);
  return { ...ip, prefixLength: Number(length) };
}

function matcher(chains: Readonly<Record<string, Partial<FilterChainMatch>>>): FilterChainMatcher<string> {
  const made = new FilterChainMatcher<string>();
  for (const [name, match] of Object.entries(chains))
    expect(made.add({ ...ANY_CONNECTION, ...match }, name)).toBeUndefined();
  return made;
}

describe("R-117 filter_chain_match", () => {
  test.each<[string, Record<string, Partial<FilterChainMatch>>, Partial<ConnectionFacts>, string | undefined]>([
    ["a chain without criteria takes everything", { any: {} }, {}, "any"],
    ["no chain fits", { other: { destinationPort: 81 } }, {}, undefined],
    ["the port comes first", { port: { destinationPort: 80 }, any: {} }, {}, "port"],
    [
      "a chain of the port that does not fit hides those without a port",
      { port: { destinationPort: 80, transportProtocol: "tls" }, any: {} },
      {},
      undefined,
    ],
    [
      "the longest prefix wins",
      { wide: { prefixRanges: [range("10.0.0.0/8")] }, narrow: { prefixRanges: [range("10.0.0.0/24")] }, any: {} },
      {},
      "narrow",
    ],
    [
      "a longer prefix that does not fit further on hides the shorter one",
      {
        wide: { prefixRanges: [range("10.0.0.0/8")] },
        narrow: { prefixRanges: [range("10.0.0.0/24")], transportProtocol: "tls" },
      },
      {},
      undefined,
    ],
    [
      "the range of all addresses hides chains without ranges",
      { all: { prefixRanges: [range("0.0.0.0/0")], transportProtocol: "tls" }, none: {} },
      {},
      undefined,
    ],
    ["families are told apart", { v6: { prefixRanges: [range("::/1")] }, any: {} }, {}, "any"],
    ["IPv6 prefixes", { v6: { prefixRanges: [range("2001:db8::/32")] } }, { destinationAddress: "2001:db8::1" }, "v6"],
    ["an exact server name", { a: { serverNames: ["a.example.com"] }, any: {} }, { serverName: "a.example.com" }, "a"],
    [
      "the longest wildcard",
      { short: { serverNames: ["*.com"] }, long: { serverNames: ["*.example.com"] } },
      { serverName: "a.b.example.com" },
      "long",
    ],
    [
      "an exact name before a wildcard",
      { wild: { serverNames: ["*.example.com"] }, exact: { serverNames: ["a.example.com"] } },
      { serverName: "a.example.com" },
      "exact",
    ],
    [
      "a wildcard does not take its own parent",
      { wild: { serverNames: ["*.example.com"] }, any: {} },
      { serverName: "example.com" },
      "any",
    ],
    [
      "an exact name that does not fit further on hides the wildcard",
      {
        exact: { serverNames: ["a.example.com"], transportProtocol: "raw_buffer" },
        wild: { serverNames: ["*.example.com"] },
      },
      { serverName: "a.example.com", transportProtocol: "tls" },
      undefined,
    ],
    ["without a server name only chains that ask for none", { a: { serverNames: ["a"] } }, {}, undefined],
    [
      "the transport protocol before the application protocol",
      { tls: { transportProtocol: "tls" }, http: { applicationProtocols: ["http/1.1"] } },
      { transportProtocol: "tls", applicationProtocols: ["http/1.1"] },
      "tls",
    ],
    [
      "application protocols in the client's order",
      { a: { applicationProtocols: ["istio"] }, b: { applicationProtocols: ["h2"] } },
      { applicationProtocols: ["h2", "istio"] },
      "b",
    ],
    [
      "a chain with several protocols",
      { a: { applicationProtocols: ["istio", "istio-http/1.1"] }, any: {} },
      { applicationProtocols: ["istio-http/1.1"] },
      "a",
    ],
    [
      "direct source ranges",
      { near: { directSourcePrefixRanges: [range("10.9.0.0/16")] }, any: {} },
      { sourceAddress: "1.1.1.1" },
      "near",
    ],
    [
      "source type external",
      { local: { sourceType: "same-ip-or-loopback" }, external: { sourceType: "external" } },
      {},
      "external",
    ],
    [
      "source type local: the same address",
      { local: { sourceType: "same-ip-or-loopback" }, external: { sourceType: "external" } },
      { sourceAddress: "10.0.0.1" },
      "local",
    ],
    [
      "source type local: loopback",
      { local: { sourceType: "same-ip-or-loopback" }, any: {} },
      { sourceAddress: "127.0.0.6" },
      "local",
    ],
    [
      "source ranges",
      { a: { sourcePrefixRanges: [range("10.9.9.0/24")] }, b: { sourcePrefixRanges: [range("10.0.0.0/8")] } },
      { sourceAddress: "10.9.1.1" },
      "b",
    ],
    ["source ports", { port: { sourcePorts: [4000, 4001] }, any: {} }, {}, "port"],
    ["source ports that are others", { port: { sourcePorts: [4001] }, any: {} }, {}, "any"],
    [
      "a pipe has no addresses and fits chains without",
      { ip: { prefixRanges: [range("10.0.0.0/8")] }, any: {} },
      { destinationAddress: "", sourceAddress: "", directSourceAddress: "" },
      "any",
    ],
  ])("%s", (_, chains, given, expected) => {
    expect(matcher(chains).find({ ...facts, ...given })).toBe(expected);
  });

  test("PERMISSIVE, HTTP port: mesh peers terminate, plaintext is taken, other TLS is not", () => {
    const port = { destinationPort: 8080 } as const;
    const chains = matcher({
      mtls: {
        ...port,
        transportProtocol: "tls",
        applicationProtocols: ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"],
      },
      plain: { ...port, transportProtocol: "raw_buffer" },
      passthrough: {},
    });
    const at = (given: Partial<ConnectionFacts>) => chains.find({ ...facts, destinationPort: 8080, ...given });
    expect(at({ transportProtocol: "tls", applicationProtocols: ["istio-http/1.1", "http/1.1"] })).toBe("mtls");
    expect(at({})).toBe("plain");
    expect(at({ transportProtocol: "tls", applicationProtocols: ["h2"] })).toBeUndefined();
    expect(chains.find({ ...facts, destinationPort: 9999 })).toBe("passthrough");
  });
});

describe("R-118 chains with equal matches", () => {
  test.each<[string, Partial<FilterChainMatch>, Partial<FilterChainMatch>, boolean]>([
    ["none and none", {}, {}, true],
    ["the same port", { destinationPort: 80 }, { destinationPort: 80 }, true],
    ["another port", { destinationPort: 80 }, { destinationPort: 81 }, false],
    ["one name in common", { serverNames: ["a", "b"] }, { serverNames: ["b", "c"] }, true],
    [
      "the same network written otherwise",
      { prefixRanges: [range("10.0.0.1/24")] },
      { prefixRanges: [range("10.0.0.9/24")] },
      true,
    ],
    ["another length", { prefixRanges: [range("10.0.0.0/24")] }, { prefixRanges: [range("10.0.0.0/25")] }, false],
    ["everything and no range", { prefixRanges: [range("0.0.0.0/0")] }, {}, false],
    ["one protocol in common", { applicationProtocols: ["a", "b"] }, { applicationProtocols: ["b"] }, true],
    ["one source port in common", { sourcePorts: [1, 2] }, { sourcePorts: [2] }, true],
    ["another source type", { sourceType: "external" }, { sourceType: "any" }, false],
  ])("%s", (_, first, second, isSame) => {
    const made = new FilterChainMatcher<string>();
    expect(made.add({ ...ANY_CONNECTION, ...first }, "first")).toBeUndefined();
    expect(made.add({ ...ANY_CONNECTION, ...second }, "second")).toBe(isSame ? "first" : undefined);
  });

  test("a chain that was added is found by what it asks for", () => {
    const names = fc.constantFrom("a.test", "b.test", "*.test");
    const arbitrary = fc.record({
      destinationPort: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      serverNames: fc.uniqueArray(names, { maxLength: 2 }),
      transportProtocol: fc.constantFrom("", "tls", "raw_buffer"),
      applicationProtocols: fc.uniqueArray(fc.constantFrom("h2", "istio"), { maxLength: 2 }),
      sourcePorts: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
    });
    fc.assert(
      fc.property(arbitrary, (match) => {
        const made = new FilterChainMatcher<string>();
        made.add({ ...ANY_CONNECTION, ...match }, "chain");
        const found = made.find({
          ...facts,
          destinationPort: match.destinationPort ?? 7,
          serverName: match.serverNames[0]?.replace("*", "x") ?? "",
          transportProtocol: match.transportProtocol === "" ? "tls" : match.transportProtocol,
          applicationProtocols: match.applicationProtocols.slice(-1),
          sourcePort: match.sourcePorts.at(-1) ?? 9,
        });
        expect(found).toBe("chain");
      }),
    );
  });
});
