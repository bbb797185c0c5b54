import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../testing/http-world.ts";

const filter = {
  name: "envoy.filters.http.cors",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" },
};
const policyType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";
const ours = "Origin: https://a.example\r\n";
const foreign = "Origin: https://evil.example\r\n";
const get = (fields: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const preflight = (fields: string): string =>
  `OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: PUT\r\n${fields}\r\n`;

async function corsWorld(policy: Json): Promise<HttpWorld> {
  const own = { "@type": policyType, allow_origin_string_match: [{ exact: "https://a.example" }], ...policy };
  const world = await httpWorld({
    filters: [filter],
    routes: [{ match: { prefix: "/" }, route: { cluster: "up" }, typed_per_filter_config: { [filter.name]: own } }],
  });
  await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  return world;
}

describe("envoy.filters.http.cors", () => {
  test("a preflight of an allowed origin is answered here", async () => {
    const world = await corsWorld({
      allow_methods: "PUT,GET",
      allow_headers: "x-a",
      max_age: "60",
      allow_credentials: true,
    });
    const answer = await world.exchange(preflight(ours));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    for (const line of [
      "access-control-allow-origin: https://a.example",
      "access-control-allow-credentials: true",
      "access-control-allow-methods: PUT,GET",
      "access-control-allow-headers: x-a",
      "access-control-max-age: 60",
    ])
      expect(answer).toContain(`${line}\r\n`);
    expect(world.upstreamRequests).toEqual([]);
    expect(world.log).toEqual(["200 - cors_response"]);
    expect(world.counter("http.in.cors.origin_valid")).toBe(1);
  });

  test("an answer to an allowed origin says so", async () => {
    const world = await corsWorld({ expose_headers: "x-b" });
    const answer = await world.exchange(get(ours));
    expect(answer).toContain("access-control-allow-origin: https://a.example\r\n");
    expect(answer).toContain("access-control-expose-headers: x-b\r\n");
    expect(answer).toMatch(/ok$/);
  });

  test("another origin gets no permission; its preflight goes upstream, or is answered without one", async () => {
    const forwarding = await corsWorld({});
    expect(await forwarding.exchange(get(foreign))).not.toContain("access-control");
    await forwarding.exchange(preflight(foreign));
    expect(forwarding.upstreamRequests).toHaveLength(2);
    expect(forwarding.counter("http.in.cors.origin_invalid")).toBe(2);
    const answering = await corsWorld({ forward_not_matching_preflights: false });
    const answer = await answering.exchange(preflight(foreign));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).not.toContain("access-control");
    expect(answering.upstreamRequests).toEqual([]);
  });

  test("* allows every origin, and names the one that asks", async () => {
    const world = await corsWorld({ allow_origin_string_match: [{ exact: "*" }] });
    expect(await world.exchange(get(foreign))).toContain("access-control-allow-origin: https://evil.example\r\n");
  });

  test("a private network is allowed where asked and configured", async () => {
    const world = await corsWorld({ allow_private_network_access: true });
    expect(await world.exchange(preflight(`${ours}Access-Control-Request-Private-Network: true\r\n`))).toContain(
      "access-control-allow-private-network: true\r\n",
    );
  });

  test("switched off it does nothing; in the shadow it counts", async () => {
    const off = { default_value: { numerator: 0 }, runtime_key: "k" };
    const disabled = await corsWorld({ filter_enabled: off });
    expect(await disabled.exchange(get(ours))).not.toContain("access-control");
    expect(disabled.counter("http.in.cors.origin_valid")).toBe(0);
    const shadow = await corsWorld({
      filter_enabled: off,
      shadow_enabled: { default_value: { numerator: 100 }, runtime_key: "k" },
    });
    expect(await shadow.exchange(get(ours))).not.toContain("access-control");
    expect(shadow.counter("http.in.cors.origin_valid")).toBe(1);
  });

  test("a request without origin, and a route without policy, are none of its business", async () => {
    const world = await corsWorld({});
    expect(await world.exchange(get(""))).not.toContain("access-control");
    const without = await httpWorld({ filters: [filter] });
    await without.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    expect(await without.exchange(get(ours))).not.toContain("access-control");
  });
});
