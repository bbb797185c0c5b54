import { describe, expect, test } from "vitest";
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import { parseRedirectPredicate } from "./redirect-predicate.ts";
import type { RedirectHop, RedirectPredicate } from "./types.ts";

const packages = "type.googleapis.com/envoy.extensions.internal_redirect";
const hop: RedirectHop = { from: "a", to: "b", wasHttps: false, isHttps: false, visited: new Map() };

function predicate(type: string, fields: object = {}): RedirectPredicate | undefined {
  const problems: Problem[] = [];
  const typedConfig = { "@type": `${packages}.${type}`, ...fields };
  const message = messageFromJson("envoy.config.core.v3.TypedExtensionConfig", { name: "p", typedConfig });
  const parsed = parseRedirectPredicate(new MessageReader(message.value as TypedExtensionConfig, "p", problems));
  expect(problems).toEqual([]);
  return parsed;
}

describe("envoy.internal_redirect_predicates", () => {
  test("allow_listed_routes: only routes of these names", () => {
    const accepts = predicate("allow_listed_routes.v3.AllowListedRoutesConfig", { allowedRouteNames: ["b"] });
    expect([accepts?.(hop), accepts?.({ ...hop, to: "c" })]).toEqual([true, false]);
  });

  test("safe_cross_scheme: from http never to https", () => {
    const accepts = predicate("safe_cross_scheme.v3.SafeCrossSchemeConfig");
    expect([accepts?.({ ...hop, isHttps: true }), accepts?.({ ...hop, wasHttps: true })]).toEqual([false, true]);
  });

  test("previous_routes: no route twice from the same route", () => {
    const accepts = predicate("previous_routes.v3.PreviousRoutesConfig");
    const visited = new Map([["a", new Set(["b"])]]);
    expect([accepts?.(hop), accepts?.({ ...hop, visited }), accepts?.({ ...hop, from: "x", visited })]).toEqual([
      true,
      false,
      true,
    ]);
  });
});
