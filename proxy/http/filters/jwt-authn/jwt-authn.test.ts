import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { httpWorld, type HttpWorld, type Json } from "../../testing/http-world.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.";
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const secret = Buffer.from("a secret of some length");
const keySet = (kid = "one", k = secret): string =>
  JSON.stringify({ keys: [{ kty: "oct", kid, k: k.toString("base64url") }] });

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(payload: Json, key = secret): string {
  const signed = `${base64url({ alg: "HS256" })}.${base64url({ iss: "bank", ...payload })}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

const get = (text?: string, more = ""): string =>
  `GET /a HTTP/1.1\r\nHost: a\r\n${text === undefined ? "" : `Authorization: Bearer ${text}\r\n`}${more}\r\n`;

const local = { local_jwks: { inline_string: keySet() } };
const provider = (more: Json = local): Json => ({ issuer: "bank", payload_in_metadata: "payload", ...more });

async function world(
  config: Json,
  options: { readonly more?: readonly Json[]; readonly route?: Json } = {},
): Promise<HttpWorld> {
  const made = await httpWorld({
    filters: [
      { name: "envoy.filters.http.jwt_authn", typed_config: { "@type": `${type}JwtAuthentication`, ...config } },
      ...(options.more ?? []),
    ],
    routes: [{ match: { prefix: "/" }, route: { cluster: "up" }, ...options.route }],
    clusters: [{ name: "up" }, { name: "keys", addresses: [{ kind: "ip", address: "10.0.0.2", port: 81 }] }],
  });
  await made.serve(80, () => ok);
  return made;
}

const needed = (more?: Json): Json => ({
  providers: { bank: provider(more) },
  rules: [{ match: { prefix: "/" }, requires: { provider_name: "bank" } }],
});

const remote = (more: Json = {}): Json => ({
  remote_jwks: {
    http_uri: { uri: "http://keys.example/set", cluster: "keys", timeout: "1s" },
    cache_duration: "60s",
    ...more,
  },
});

/** Serves the key set; counts how often it is asked for. */
async function serveKeys(
  made: HttpWorld,
  answer: () => string | undefined = () => keySet(),
): Promise<{ readonly asked: string[] }> {
  const asked: string[] = [];
  await made.serve(81, (request) => {
    asked.push(request);
    const body = answer();
    return body && `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  });
  return { asked };
}

describe("envoy.filters.http.jwt_authn", () => {
  test("a token that holds passes and is taken out; none is 401 with a challenge", async () => {
    const made = await world(needed());
    expect(await made.exchange(get(token({})))).toMatch(/ok$/);
    expect(made.upstreamRequests.join()).not.toMatch(/authorization/i);
    expect(await made.exchange(get())).toMatch(
      /^HTTP\/1\.1 401 .*www-authenticate: Bearer realm="http:\/\/a\/a"\r\n.*Jwt is missing$/s,
    );
    expect(made.log.at(-1)).toBe("401 - jwt_authn_access_denied{Jwt_is_missing}");
    expect(made.counter("http.in.jwt_authn.allowed")).toBe(1);
    expect(made.counter("http.in.jwt_authn.denied")).toBe(1);
  });

  test("keys are fetched once for all who wait, and kept for a while", async () => {
    const made = await world(needed(remote()));
    const { asked } = await serveKeys(made);
    const clients = await Promise.all([made.connect(), made.connect()]);
    const answers = await Promise.all(clients.map((client) => client.send(get(token({})))));
    expect(answers.map((answer) => answer.slice(-2))).toEqual(["ok", "ok"]);
    expect(await made.exchange(get(token({})))).toMatch(/ok$/);
    expect(asked.length).toBe(1);
    expect(asked[0]).toMatch(/^GET \/set HTTP\/1\.1\r\nhost: keys\.example\r\n/i);
    await made.runtime.advance(61_000);
    expect(await made.exchange(get(token({})))).toMatch(/ok$/);
    expect(asked.length).toBe(2);
    expect(made.counter("http.in.jwt_authn.jwks_fetch_success")).toBe(2);
  });

  test("keys that don't come in time refuse", async () => {
    const made = await world(needed(remote()));
    await serveKeys(made, () => undefined);
    const client = await made.connect();
    expect(await client.send(get(token({})))).toBe("");
    await made.runtime.advance(1200);
    expect(client.take()).toMatch(/^HTTP\/1\.1 401 .*Jwks remote fetch is failed$/s);
    expect(made.counter("http.in.jwt_authn.jwks_fetch_failed")).toBe(1);
  });

  test("a client that goes away while keys are fetched is nobody's business any more", async () => {
    const made = await world(needed(remote()));
    let answer: string | undefined;
    await serveKeys(made, () => answer);
    const client = await made.connect();
    await client.send(get(token({})));
    client.connection.destroy();
    await made.runtime.settle();
    answer = keySet();
    await made.runtime.advance(1200);
    expect(await made.exchange(get(token({})))).toMatch(/ok$/);
    expect(made.upstreamRequests.filter((request) => request.startsWith("GET /a")).length).toBe(1);
  });

  test("with async_fetch keys are there before the first request; a failure is tried again soon", async () => {
    const made = await world(needed(remote({ async_fetch: { failed_refetch_duration: "2s" } })));
    let answer: string | undefined = "no keys";
    const { asked } = await serveKeys(made, () => answer);
    await made.runtime.advance(100);
    expect(asked.length).toBe(1);
    answer = keySet();
    // Somebody asks, and so keys go on being wanted.
    expect(await made.exchange(get(token({})))).toMatch(/ok$/);
    expect(asked.length).toBe(2);
    await made.runtime.advance(56_000);
    expect(asked.length).toBe(3);
    await made.runtime.advance(600_000);
    expect(asked.length).toBe(3);
  });

  test("what a token claims decides role-based access", async () => {
    const claim = (path: readonly string[], value: Json): Json => ({
      metadata: {
        filter: "envoy.filters.http.jwt_authn",
        path: ["payload", ...path].map((key) => ({ key })),
        value,
      },
    });
    const rbac = (principal: Json): Json => ({
      name: "envoy.filters.http.rbac",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        rules: { policies: { p: { permissions: [{ any: true }], principals: [principal] } } },
      },
    });
    const scope = claim(["scope"], { list_match: { one_of: { string_match: { exact: "é" } } } });
    const nested = claim(["a", "b"], { string_match: { exact: "c" } });
    const normalized = { ...local, normalize_payload_in_metadata: { space_delimited_claims: ["scope"] } };
    const made = await world(needed(normalized), { more: [rbac({ and_ids: { ids: [scope, nested] } })] });
    expect(await made.exchange(get(token({ scope: "a é", a: { b: "c" } })))).toMatch(/ok$/);
    expect(await made.exchange(get(token({ scope: "a", a: { b: "c" } })))).toMatch(/^HTTP\/1\.1 403 /);
    expect(await made.exchange(get(token({ scope: "a é", "a.b": "c" })))).toMatch(/^HTTP\/1\.1 403 /);
  });

  test("claims go on as UTF-8 bytes; one that would end its line refuses the request", async () => {
    const made = await world(needed({ ...local, claim_to_headers: [{ header_name: "X-Sub", claim_name: "sub" }] }));
    await made.exchange(get(token({ sub: "łódź 😀" }), "x-sub: forged\r\n"));
    const bytes = Buffer.from("łódź 😀").toString("latin1");
    expect(made.upstreamRequests.at(-1)).toMatch(new RegExp(`\\r\\nx-sub: ${bytes}\\r\\n`));
    expect(made.upstreamRequests.at(-1)).not.toMatch(/forged/);
    expect(await made.exchange(get(token({ sub: "a\r\nx-evil: b" })))).toMatch(/^HTTP\/1\.1 503 /);
    expect(made.upstreamRequests.length).toBe(1);
  });

  test("a token in the query is taken out; the rest still says the same", async () => {
    const made = await world(needed());
    const rest = "x=%26y%3D1%23%0D%0Ax-evil%3A&b=%C3%A9+1";
    await made.exchange(`GET /a?access_token=${token({})}&${rest} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(made.upstreamRequests[0]).toMatch(/^GET \/a\?b=%C3%A9\+1&x=%26y=1%23%0D%0Ax-evil: HTTP\/1\.1\r\n/);
  });

  test("a route may ask for something else, or for nothing", async () => {
    const perRoute = (fields: Json): Json => ({
      typed_per_filter_config: { "envoy.filters.http.jwt_authn": { "@type": `${type}PerRouteConfig`, ...fields } },
    });
    const off = await world(needed(), { route: perRoute({ disabled: true }) });
    expect(await off.exchange(get())).toMatch(/ok$/);
    const wrong = await world(needed(), { route: perRoute({ requirement_name: "x" }) });
    expect(await wrong.exchange(get(token({})))).toMatch(
      /403 .*Wrong requirement_name: x\. It should be one of \[\]$/s,
    );
  });

  test("an object of the filter state chooses, where no rule does", async () => {
    const byState = {
      providers: { bank: provider() },
      filter_state_rules: { name: "who", requires: { stranger: { provider_name: "bank" } } },
    };
    const setState = (value: string): Json => ({
      name: "envoy.filters.http.set_filter_state",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        on_request_headers: [
          {
            object_key: "who",
            factory_key: "envoy.string",
            format_string: { text_format_source: { inline_string: value } },
          },
        ],
      },
    });
    for (const [value, status] of [
      ["stranger", 401],
      ["friend", 200],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop
      const made = await httpWorld({
        filters: [
          setState(value),
          { name: "envoy.filters.http.jwt_authn", typed_config: { "@type": `${type}JwtAuthentication`, ...byState } },
        ],
      });
      // oxlint-disable-next-line no-await-in-loop
      await made.serve(80, () => ok);
      // oxlint-disable-next-line no-await-in-loop
      expect(await made.exchange(get())).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    }
  });

  test.each([
    [{ providers: {}, rules: [{ match: { prefix: "/" }, requires: { provider_name: "x" } }] }, "is not configured"],
    [{ rules: [{ match: { prefix: "/" }, requirement_name: "x" }] }, "Wrong requirement_name"],
    [needed({ local_jwks: { inline_string: '{"keys":[]}' } }), "doesn't have any valid public key"],
    [needed({ local_jwks: { inline_string: "x" } }), "Jwks is an invalid JSON"],
    [needed({}), "one of remote_jwks and local_jwks"],
    [needed({ remote_jwks: { http_uri: { uri: "no", cluster: "c", timeout: "1s" } } }), "invalid URI"],
  ])("is refused: %j", async (config, problem) => {
    await expect(world(config as Json)).rejects.toThrow(problem);
  });
});
