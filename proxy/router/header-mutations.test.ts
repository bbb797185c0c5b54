import { describe, expect, test } from "vitest";
import { HeaderMap } from "../http/header-map.ts";
import { StreamInfo } from "../stream-info.ts";
import { finalized, match, problemsOf, requestOf, tableOf } from "./testing/routes.ts";

const all = { prefix: "/" };
const add = (key: string, value: string, extra: object = {}): object => ({ header: { key, value }, ...extra });

/** Mutations at all four levels, for requests. */
function levels(fields: {
  readonly cluster?: object;
  readonly route?: object;
  readonly host?: object;
  readonly top?: object;
}): object {
  return {
    virtualHosts: [
      {
        name: "v",
        domains: ["*"],
        ...fields.host,
        routes: [
          {
            match: all,
            route: { weightedClusters: { clusters: [{ name: "c", weight: 1, ...fields.cluster }] } },
            ...fields.route,
          },
        ],
      },
    ],
    ...fields.top,
  };
}

function fieldsAfter(json: object, fields: Record<string, string> = {}): [string, string][] {
  const { names, values } = finalized(tableOf(json), fields);
  return names
    .map((name, index): [string, string] => [name, values[index] as string])
    .filter(([name]) => name !== "x-forwarded-proto");
}

describe("header mutations", () => {
  test("R-31: weighted cluster, route, virtual host, configuration: the last one wins", () => {
    const overwrite = { appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" };
    const at = (name: string): object => ({
      requestHeadersToAdd: [add("X-Level", name, overwrite), add("x-all", name)],
    });
    const json = levels({ cluster: at("cluster"), route: at("route"), host: at("host"), top: at("top") });
    expect(fieldsAfter(json)).toEqual([
      ["x-all", "cluster"],
      ["x-all", "route"],
      ["x-all", "host"],
      ["x-level", "top"],
      ["x-all", "top"],
    ]);
    const reversed = { ...json, mostSpecificHeaderMutationsWins: true };
    expect(fieldsAfter(reversed)).toContainEqual(["x-level", "cluster"]);
  });

  test("R-32: removes first; values and conditions are from before the additions; overwrites come before appends", () => {
    const route = {
      requestHeadersToRemove: ["x-old"],
      requestHeadersToAdd: [
        add("x-a", "appended"),
        add("x-a", "%REQ(x-a)%-seen", { appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" }),
        add("x-old", "new"),
        add("x-b", "first", { appendAction: "ADD_IF_ABSENT" }),
        add("x-b", "second", { appendAction: "ADD_IF_ABSENT" }),
      ],
    };
    expect(fieldsAfter(levels({ route }), { "x-a": "1", "x-old": "gone" })).toEqual([
      ["x-a", "1-seen"],
      ["x-a", "appended"],
      ["x-old", "new"],
      ["x-b", "first"],
      ["x-b", "second"],
    ]);
  });

  test.each([
    ["APPEND_IF_EXISTS_OR_ADD", ["old", "new"], ["new"]],
    ["ADD_IF_ABSENT", ["old"], ["new"]],
    ["OVERWRITE_IF_EXISTS_OR_ADD", ["new"], ["new"]],
    ["OVERWRITE_IF_EXISTS", ["new"], []],
  ])("R-33: %s", (appendAction, present, absent) => {
    const json = levels({ route: { requestHeadersToAdd: [add("x-a", "new", { appendAction })] } });
    const values = (fields: Record<string, string>): string[] => fieldsAfter(json, fields).map(([, value]) => value);
    expect(values({ "x-a": "old" })).toEqual(present);
    expect(values({})).toEqual(absent);
  });

  test("R-33: append: false overwrites; an empty value is left out unless keep_empty_value", () => {
    const route = {
      requestHeadersToAdd: [
        add("x-a", "new", { append: false }),
        add("x-b", "%REQ(x-none)%"),
        add("x-c", "", { keepEmptyValue: true }),
      ],
    };
    expect(fieldsAfter(levels({ route }), { "x-a": "old" })).toEqual([
      ["x-a", "new"],
      ["x-c", ""],
    ]);
  });

  test("R-34: pseudo headers and host can't be changed", () => {
    const problems = (route: object): string[] => problemsOf(levels({ route }));
    for (const key of [":path", "Host", "host", ":authority"])
      expect(problems({ requestHeadersToAdd: [add(key, "x")] })).toEqual([
        expect.stringContaining("may not be modified"),
      ]);
    expect(problems({ requestHeadersToRemove: ["x-ok", "Host"] })).toEqual([
      "virtual_hosts[0].routes[0].request_headers_to_remove[1]: :-prefixed or host headers may not be removed",
    ]);
    expect(problems({ responseHeadersToRemove: [":status"] })).toHaveLength(1);
    expect(problems({ requestHeadersToAdd: [add("x-a", "%NO_SUCH(x)%")] })).toHaveLength(1);
  });

  test("R-44: responses of routes, redirects and direct responses have theirs", () => {
    const json = {
      responseHeadersToAdd: [add("x-top", "1")],
      responseHeadersToRemove: ["x-secret"],
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [
            { match: all, directResponse: { status: 200 }, responseHeadersToAdd: [add("x-path", "%REQ(:path)%")] },
          ],
        },
      ],
    };
    const route = match(tableOf(json), { ":path": "/p" });
    const headers = HeaderMap.of({ "x-secret": "s" });
    const requestHeaders = requestOf({ ":path": "/p" });
    route?.responseMutations?.apply(headers, { info: new StreamInfo(), requestHeaders, responseHeaders: headers });
    expect(headers.entries()).toEqual([
      ["x-path", "/p"],
      ["x-top", "1"],
    ]);
  });

  test("a route without any has none", () => {
    const route = match(tableOf(levels({})));
    expect([route?.requestMutations, route?.responseMutations]).toEqual([undefined, undefined]);
  });
});
