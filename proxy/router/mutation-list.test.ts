import { describe, expect, test } from "vitest";
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { HeaderMutation } from "#protos/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js";
import { HeaderMap } from "../http/header-map.ts";
import { StreamInfo } from "../stream-info.ts";
import { parseMutationList } from "./mutation-list.ts";

function applied(json: readonly object[], fields: Record<string, string>): (string | Problem)[] {
  const problems: Problem[] = [];
  const readers = json.map((one) => {
    const message = messageFromJson("envoy.config.common.mutation_rules.v3.HeaderMutation", one);
    return new MessageReader(message.value as HeaderMutation, "m", problems);
  });
  const mutations = parseMutationList(readers);
  const headers = HeaderMap.of(fields);
  mutations?.apply(headers, { info: new StreamInfo(), requestHeaders: headers });
  return problems.length > 0 ? problems : headers.entries().map(([name, value]) => `${name}: ${value}`);
}

describe("envoy.config.common.mutation_rules.v3.HeaderMutation", () => {
  test("operations are done in their order", () => {
    const add = { append: { header: { key: "x-a", value: "new" } } };
    expect(
      applied([add, { remove: "x-a" }, { append: { header: { key: "x-b", value: "1" } } }], { "x-a": "0" }),
    ).toEqual(["x-b: 1"]);
  });

  test("names are removed by a pattern", () => {
    const mutation = { removeOnMatch: { keyMatcher: { prefix: "x-" } } };
    expect(applied([mutation], { "x-a": "1", "x-b": "2", accept: "3" })).toEqual(["accept: 3"]);
  });

  test("pseudo headers are not to be removed", () => {
    expect(applied([{ remove: ":path" }], {})).toEqual([expect.objectContaining({ level: "error" })]);
  });
});
