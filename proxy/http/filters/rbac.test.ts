import { describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import { httpWorld, type HttpWorld, type Json } from "../testing/http-world.ts";
import { rbac } from "./rbac.ts";

const TYPE = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3";
const ANY = [{ any: true }];
const onPath = (path: string): Json => ({ permissions: [{ urlPath: { path: { exact: path } } }], principals: ANY });
const filter = (fields: Json): Json => ({
  name: "envoy.filters.http.rbac",
  typedConfig: { "@type": `${TYPE}.RBAC`, ...fields },
});

async function world(filters: readonly Json[], routes?: readonly Json[]): Promise<HttpWorld> {
  const made = await httpWorld({ filters, ...(routes !== undefined && { routes }) });
  await made.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  return made;
}

async function statuses(made: HttpWorld, paths: readonly string[]): Promise<readonly number[]> {
  const seen: number[] = [];
  for (const path of paths) {
    const answer = await made.exchange(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    seen.push(Number(answer.split(" ")[1]));
  }
  return seen;
}

describe("envoy.filters.http.rbac", () => {
  test("ALLOW lets through what a policy matches and answers the rest", async () => {
    const made = await world([filter({ rules: { policies: { p: onPath("/ok") } } })]);
    const refused = await made.exchange("GET /no HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(refused).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(refused).toMatch(/content-type: text\/plain\r\n/);
    expect(refused).toMatch(/\r\n\r\nRBAC: access denied$/);
    expect(await statuses(made, ["/ok", "/ok?a"])).toEqual([200, 200]);
    expect(made.log[0]).toBe("403 - rbac_access_denied_matched_policy[none]");
    expect(made.counter("http.in.rbac.allowed")).toBe(2);
    expect(made.counter("http.in.rbac.denied")).toBe(1);
  });

  test("DENY refuses what a policy matches and names it, without blanks", async () => {
    const made = await world([filter({ rules: { action: "DENY", policies: { "ns[a]-p r": onPath("/no") } } })]);
    expect(await statuses(made, ["/ok", "/no"])).toEqual([200, 403]);
    expect(made.log[1]).toBe("403 - rbac_access_denied_matched_policy[ns[a]-p_r]");
  });

  test("rules without policies: ALLOW refuses everything, DENY and LOG nothing; without rules nothing is judged", async () => {
    expect(await statuses(await world([filter({ rules: {} })]), ["/"])).toEqual([403]);
    expect(await statuses(await world([filter({ rules: { action: "DENY" } })]), ["/"])).toEqual([200]);
    expect(await statuses(await world([filter({ rules: { action: "LOG" } })]), ["/"])).toEqual([200]);
    expect(await statuses(await world([filter({})]), ["/"])).toEqual([200]);
  });

  test("DENY before ALLOW wins", async () => {
    const made = await world([
      filter({ rules: { action: "DENY", policies: { d: onPath("/both") } } }),
      filter({ rules: { policies: { a: onPath("/both"), b: onPath("/ok") } } }),
    ]);
    expect(await statuses(made, ["/both", "/ok", "/neither"])).toEqual([403, 200, 403]);
  });

  test("shadow rules are counted under their prefix and refuse nothing", async () => {
    const made = await world([
      filter({
        shadowRules: { policies: { sh: onPath("/ok") } },
        shadowRulesStatPrefix: "istio_dry_run_allow_",
        trackPerRuleStats: true,
      }),
    ]);
    expect(await statuses(made, ["/ok", "/no", "/no"])).toEqual([200, 200, 200]);
    expect(made.counter("http.in.rbac.istio_dry_run_allow_.shadow_allowed")).toBe(1);
    expect(made.counter("http.in.rbac.istio_dry_run_allow_.shadow_denied")).toBe(2);
    expect(made.counter("http.in.rbac.istio_dry_run_allow_.policy.sh.shadow_allowed")).toBe(1);
  });

  test("metadata says which policy and with what result, for later filters", async () => {
    const metadata = (key: string, exact: string): Json => ({
      metadata: { filter: "envoy.filters.http.rbac", path: [{ key }], value: { stringMatch: { exact } } },
    });
    const made = await world([
      filter({ shadowRules: { policies: { sh: onPath("/ok") } }, shadowRulesStatPrefix: "s_" }),
      filter({ rules: { action: "LOG", policies: { l: onPath("/ok") } }, rulesStatPrefix: "r_" }),
      filter({
        rules: {
          policies: {
            p: {
              permissions: ANY,
              principals: [
                {
                  andIds: {
                    ids: [
                      metadata("s_shadow_effective_policy_id", "sh"),
                      metadata("s_shadow_engine_result", "allowed"),
                      metadata("r_enforced_effective_policy_id", "l"),
                      metadata("r_enforced_engine_result", "allowed"),
                    ],
                  },
                },
              ],
            },
          },
        },
      }),
    ]);
    expect(await statuses(made, ["/ok", "/no"])).toEqual([200, 403]);
  });

  test("a route's own rules take the place of the filter's; without rules it is open", async () => {
    const perRoute = (config: Json): Json => ({
      typedPerFilterConfig: { "envoy.filters.http.rbac": { "@type": `${TYPE}.RBACPerRoute`, ...config } },
    });
    const route = { cluster: "up" };
    const made = await world(
      [filter({ rules: {} })],
      [
        { match: { prefix: "/open" }, route, ...perRoute({}) },
        { match: { prefix: "/own" }, route, ...perRoute({ rbac: { rules: { policies: { p: onPath("/own/a") } } } }) },
        { match: { prefix: "/" }, route },
      ],
    );
    expect(await statuses(made, ["/open", "/own/a", "/own/b", "/"])).toEqual([200, 200, 403, 403]);
  });

  test.each([
    ["matcher", { matcher: {} }],
    ["shadow_matcher", { shadowMatcher: {} }],
    [
      'rules.policies["p"].condition',
      { rules: { policies: { p: { permissions: ANY, principals: ANY, condition: {} } } } },
    ],
  ])("%s is refused by name, for the filter and for a route", (path, fields) => {
    const own = messageFromJson("envoy.extensions.filters.http.rbac.v3.RBAC", fields).value;
    const route = messageFromJson("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", { rbac: fields }).value;
    if (own === undefined || route === undefined) throw new Error("not a message");
    expect(rbac.parse(own, "")).toMatchObject({ problems: [{ code: "unsupported-field", path }] });
    expect(rbac.parse(own, "").value).toBeUndefined();
    const ofRoute = rbac.parseRoute?.(route, "");
    expect(ofRoute).toMatchObject({ problems: [{ code: "unsupported-field", path: `rbac.${path}` }] });
    expect(ofRoute?.value).toBeUndefined();
  });
});
