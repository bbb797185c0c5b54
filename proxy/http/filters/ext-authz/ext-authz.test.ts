import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../../testing/http-world.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.";
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const allow = "HTTP/1.1 200 OK\r\nx-user: mary\r\ncontent-length: 0\r\n\r\n";
const get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const post = (body: string): string => `POST /a HTTP/1.1\r\nHost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

const service = (more: Json = {}, response: Json = {}): Json => ({
  http_service: {
    server_uri: { uri: "http://authz", cluster: "authz", timeout: "1s" },
    authorization_response: { allowed_upstream_headers: { patterns: [{ exact: "x-user" }] }, ...response },
  },
  ...more,
});

async function world(config: Json, route: Json = {}): Promise<HttpWorld> {
  const made = await httpWorld({
    filters: [{ name: "envoy.filters.http.ext_authz", typed_config: { "@type": `${type}ExtAuthz`, ...config } }],
    routes: [{ match: { prefix: "/" }, route: { cluster: "up" }, ...route }],
    clusters: [{ name: "up" }, { name: "authz", addresses: [{ kind: "ip", address: "10.0.0.2", port: 81 }] }],
  });
  await made.serve(80, () => ok);
  return made;
}

const route = (fields: Json): Json => ({
  typed_per_filter_config: { "envoy.filters.http.ext_authz": { "@type": `${type}ExtAuthzPerRoute`, ...fields } },
});

describe("envoy.filters.http.ext_authz", () => {
  test("what the service allows goes on, with the headers that it may add", async () => {
    const made = await world(service());
    await made.serve(81, () => allow);
    expect(await made.exchange(get)).toMatch(/ok$/);
    expect(made.upstreamRequests[1]).toMatch(/\r\nx-user: mary\r\n/);
    expect(made.counter("http.in.ext_authz.ok")).toBe(1);
    expect(made.counter("cluster.up.ext_authz.ok")).toBe(1);
  });

  test("what it denies is answered as it says: UAEX", async () => {
    const made = await world(service());
    await made.serve(81, () => "HTTP/1.1 401 No\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nno");
    expect(await made.exchange(get)).toMatch(/^HTTP\/1\.1 401 .*set-cookie: a=1\r\nset-cookie: b=2\r\n.*\r\n\r\nno$/s);
    expect(made.log).toEqual(["401 UAEX ext_authz_denied"]);
    expect(made.upstreamRequests.length).toBe(1);
  });

  test("a service that is silent, broken or away refuses; with failure_mode_allow it lets through", async () => {
    const closed = await world(service({ status_on_error: { code: 503 } }));
    await closed.serve(81, () => undefined);
    const client = await closed.connect();
    expect(await client.send(get)).toBe("");
    await closed.runtime.advance(1200);
    expect(client.take()).toMatch(/^HTTP\/1\.1 503 /);
    expect(closed.log).toEqual(["503 UAEX ext_authz_error"]);
    const away = await world(service());
    expect(await away.exchange(get)).toMatch(/^HTTP\/1\.1 403 /);
    const open = await world(service({ failure_mode_allow: true, failure_mode_allow_header_add: true }));
    expect(await open.exchange(get)).toMatch(/ok$/);
    expect(open.upstreamRequests[0]).toMatch(/x-envoy-auth-failure-mode-allowed: true/);
  });

  test("a body is shown up to the limit, and goes on whole", async () => {
    const made = await world(service({ with_request_body: { max_request_bytes: 4, allow_partial_message: true } }));
    await made.serve(81, () => allow);
    expect(await made.exchange(post("longer body"))).toMatch(/ok$/);
    const [asked = "", forwarded = ""] = made.upstreamRequests;
    expect(asked).toMatch(/x-envoy-auth-partial-body: true\r\n(.*\r\n)?\r\nlong$/s);
    expect(forwarded).toMatch(/\r\n\r\nlonger body$/);
  });

  test("without partial messages a longer body is 413, and nobody is asked", async () => {
    const made = await world(service({ with_request_body: { max_request_bytes: 4 } }));
    await made.serve(81, () => allow);
    expect(await made.exchange(post("longer body"))).toMatch(/^HTTP\/1\.1 413 /);
    expect(made.upstreamRequests).toEqual([]);
    expect(await made.exchange(post("four"))).toMatch(/ok$/);
  });

  test("a client that goes away takes the question with it", async () => {
    const made = await world(service());
    await made.serve(81, () => undefined);
    const client = await made.connect();
    await client.send(get);
    client.connection.destroy();
    await made.runtime.advance(2000);
    expect(made.counter("cluster.authz.upstream_rq_cancelled")).toBe(1);
    expect(made.counter("http.in.ext_authz.error")).toBe(0);
  });

  test("a route may switch it off", async () => {
    const made = await world(service(), route({ disabled: true }));
    expect(await made.exchange(get)).toMatch(/ok$/);
    expect(made.upstreamRequests.length).toBe(1);
  });

  test("headers that can't be are not taken from the service", async () => {
    const made = await world(service({}, { allowed_client_headers: { patterns: [{ exact: "x-bad" }] } }));
    await made.serve(81, () => "HTTP/1.1 200 OK\r\nx-user: a\x80\xff\r\ncontent-length: 0\r\n\r\n");
    expect(await made.exchange(get)).toMatch(/ok$/);
    expect(made.upstreamRequests[1]).toMatch(/x-user: a\x80\xff\r\n/);
  });

  test.each([
    [{ ...service(), shadow_mode: true }, "shadow_mode"],
    [{ ...service(), filter_metadata: { a: 1 } }, "filter_metadata"],
    [{ ...service(), decoder_header_mutation_rules: { allow_envoy: true } }, "decoder_header_mutation_rules"],
    [{ ...service(), typed_metadata_context_namespaces: ["a"] }, "typed_metadata_context_namespaces"],
    [{ http_service: {} }, "server_uri"],
    [{ grpc_service: { google_grpc: { target_uri: "a", stat_prefix: "b" } } }, "google_grpc"],
  ])("is refused by name: %j", async (config, problem) => {
    await expect(world(config)).rejects.toThrow(problem);
  });
});
