import { describe, expect, test } from "vitest";
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Matcher } from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import { parseFilterChainMatcher, type MatchedConnection } from "./filter-chain-matcher.ts";

const TYPE = "type.googleapis.com/";
const input = (name: string, more: object = {}) => ({
  name,
  typed_config: { "@type": `${TYPE}envoy.extensions.matching.common_inputs.network.v3.${name}`, ...more },
});
const to = (name: string) => ({
  action: { name, typed_config: { "@type": `${TYPE}google.protobuf.StringValue`, value: name } },
});
const tree = (name: string, map: object, more: object = {}) => ({
  matcher_tree: { input: input(name), exact_match_map: { map } },
  ...more,
});
const nested = (matcher: object) => ({ matcher });

function parse(json: object) {
  const read = messageFromJson("xds.type.matcher.v3.Matcher", json);
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  const problems: Problem[] = [];
  const matcher = parseFilterChainMatcher(new MessageReader(read.value as Matcher, "m", problems));
  return { problems, find: (facts: Partial<MatchedConnection>) => matcher({ ...nothing, ...facts }) };
}

const nothing: MatchedConnection = {
  destinationAddress: "10.0.0.1",
  destinationPort: 80,
  serverName: "",
  transportProtocol: "raw_buffer",
  applicationProtocols: [],
  directSourceAddress: "10.0.0.9",
  sourceAddress: "10.0.0.9",
  sourcePort: 1234,
  filterState: new Map(),
};

describe("filter_chain_matcher", () => {
  test("by destination port, then by protocol, as istiod asks for a waypoint", () => {
    const { problems, find } = parse(
      tree(
        "DestinationPortInput",
        {
          80: nested(
            tree(
              "ApplicationProtocolInput",
              { "'h2c'": to("http"), "'http/1.1'": to("http") },
              { on_no_match: to("tcp") },
            ),
          ),
          443: to("tls"),
        },
        { on_no_match: to("other") },
      ),
    );
    expect(problems).toEqual([]);
    expect(find({ applicationProtocols: ["h2c"] })).toBe("http");
    expect(find({})).toBe("tcp");
    expect(find({ destinationPort: 443 })).toBe("tls");
    expect(find({ destinationPort: 9 })).toBe("other");
  });

  test("a list takes the first predicate that leads to a chain", () => {
    const predicate = (name: string, value: object) => ({
      single_predicate: { input: input(name), value_match: value },
    });
    const { problems, find } = parse({
      matcher_list: {
        matchers: [
          {
            predicate: {
              and_matcher: {
                predicate: [
                  predicate("ServerNameInput", { suffix: ".test" }),
                  { not_matcher: predicate("TransportProtocolInput", { exact: "raw_buffer" }) },
                ],
              },
            },
            on_match: nested(tree("DestinationPortInput", { 443: to("tls") })),
          },
          {
            predicate: {
              or_matcher: {
                predicate: [
                  predicate("SourceTypeInput", { exact: "local" }),
                  predicate("ServerNameInput", { safe_regex: { google_re2: {}, regex: "a+\\.test" } }),
                ],
              },
            },
            on_match: to("second"),
          },
        ],
      },
    });
    expect(problems).toEqual([]);
    const tls = { serverName: "aa.test", transportProtocol: "tls" };
    expect(find({ ...tls, destinationPort: 443 })).toBe("tls");
    expect(find(tls)).toBe("second");
    expect(find({ sourceAddress: "127.0.0.1" })).toBe("second");
    expect(find({ serverName: "b.test" })).toBeUndefined();
  });

  test("the longest range wins, and gives way unless it is exclusive", () => {
    const ranges = (exclusive: boolean) => ({
      matcher_tree: {
        input: input("DestinationIPInput"),
        custom_match: {
          name: "ip",
          typed_config: {
            "@type": `${TYPE}xds.type.matcher.v3.IPMatcher`,
            range_matchers: [
              { ranges: [{ address_prefix: "10.0.0.0", prefix_len: 8 }], on_match: to("wide") },
              {
                ranges: [{ address_prefix: "10.0.0.1", prefix_len: 32 }],
                on_match: nested(tree("DestinationPortInput", { 443: to("narrow") })),
                exclusive,
              },
            ],
          },
        },
      },
    });
    expect(parse(ranges(false)).find({ destinationPort: 443 })).toBe("narrow");
    expect(parse(ranges(false)).find({})).toBe("wide");
    expect(parse(ranges(true)).find({})).toBeUndefined();
  });

  test("server names: the name itself, then the longest suffix", () => {
    const { find } = parse({
      matcher_tree: {
        input: input("ServerNameInput"),
        custom_match: {
          name: "names",
          typed_config: {
            "@type": `${TYPE}xds.type.matcher.v3.ServerNameMatcher`,
            domain_matchers: [
              { domains: ["*"], on_match: to("any") },
              { domains: ["*.b.test"], on_match: to("suffix") },
              { domains: ["a.b.test"], on_match: to("exact") },
            ],
          },
        },
      },
    });
    expect(["a.b.test", "x.a.b.test", "b.test", "c"].map((serverName) => find({ serverName }))).toEqual([
      "exact",
      "suffix",
      "any",
      "any",
    ]);
    expect(find({})).toBeUndefined();
  });

  test("by filter state, and by prefix", () => {
    const { find } = parse({
      matcher_tree: {
        input: input("FilterStateInput", { key: "k" }),
        prefix_match_map: { map: { a: to("short"), ab: to("long") } },
      },
    });
    expect(find({ filterState: new Map([["k", "abc"]]) })).toBe("long");
    expect(find({ filterState: new Map([["k", "ac"]]) })).toBe("short");
    expect(find({})).toBeUndefined();
  });

  test("what is not known is refused by name, with its place", () => {
    const { problems } = parse({
      matcher_tree: {
        input: { name: "x", typed_config: { "@type": `${TYPE}google.protobuf.Empty` } },
        exact_match_map: {
          map: { a: { action: { name: "x", typed_config: { "@type": `${TYPE}google.protobuf.Empty` } } } },
        },
      },
    });
    expect(problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      "m.matcher_tree.input.typed_config: google.protobuf.Empty is not supported here",
      'm.matcher_tree.exact_match_map.map["a"].action.typed_config: google.protobuf.Empty is not supported here',
    ]);
  });
});
