import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { jwk, keys, token } from "../authorization/jwt-tokens.ts";
import { serve, type TestServer } from "../authorization/beside-envoy.ts";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 20_000, interval: 100 };
const URL = "http://echo.default.svc.cluster.local";

/** Lets in who says so, or has a token of its own making; tells what it was asked. */
const AUTHORIZER = `
import { createServer } from "node:http";
createServer((request, response) => {
  const isAllowed = request.headers["x-ext-authz"] === "allow";
  response.setHeader("x-ext-authz-check-result", isAllowed ? "allowed" : "denied");
  response.setHeader("x-ext-authz-path", request.url);
  response.writeHead(isAllowed ? 200 : 403).end(isAllowed ? "" : "denied by the authorizer");
}).listen(Number(process.env.PORT), "127.0.0.1");
`;

const MESH_CONFIG = `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    extensionProviders:
    - name: asker
      envoyExtAuthzHttp:
        service: authz.default.svc.cluster.local
        port: 80
        pathPrefix: /check
        timeout: 5s
        includeRequestHeadersInCheck: [x-ext-authz]
        headersToUpstreamOnAllow: [x-ext-authz-check-result]
        headersToDownstreamOnDeny: [x-ext-authz-path]
`;

function authentication(rule: string): string {
  return `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: tokens }
spec: { selector: { matchLabels: { app: echo } }, jwtRules: [${rule}] }
---
`;
}

function policy(name: string, rest: string): string {
  return `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name} }
spec: { selector: { matchLabels: { app: echo } }, ${rest} }
---
`;
}

describe("tokens and other authorizers, over real processes", () => {
  let mesh: TestMesh;
  let issuer: TestServer;
  let isIssuerUp = true;

  beforeAll(async () => {
    issuer = await serve((request, response) => {
      response.statusCode = isIssuerUp ? 200 : 503;
      const uri = `http://127.0.0.1:${issuer.port}/keys`;
      const isDiscovery = request.url === "/.well-known/openid-configuration";
      response.end(JSON.stringify(isDiscovery ? { jwks_uri: uri } : { keys: [jwk("rsa", { kid: "one" })] }));
    });
    mesh = await testMesh({
      "workloads.yaml":
        deployment("client", { port: undefined }) +
        deployment("echo") +
        service("echo") +
        deployment("authz") +
        service("authz") +
        `
apiVersion: glassmesh.dev/v1alpha1
kind: LocalMesh
metadata: { name: local }
spec: { workloads: { authz: { command: [node, authorizer.mjs] } } }
---
`,
      "config.yaml": MESH_CONFIG,
      "authorizer.mjs": AUTHORIZER,
    });
    writeFileSync(join(mesh.directory, "authorizer.mjs"), AUTHORIZER);
  });

  afterAll(() => issuer.close());

  const claims = (): Record<string, unknown> => ({
    iss: `http://127.0.0.1:${issuer.port}`,
    sub: "mary",
    aud: "echo",
    groups: ["ops", "dev"],
    scope: "read write",
    nested: { team: "a" },
    exp: Math.floor(Date.now() / 1000) + 600,
  });

  async function status(path = "/", ...flags: string[]): Promise<string> {
    return Object.keys((await mesh.call("client", `${URL}${path}`, ...flags)).statuses).join();
  }

  const bearer = (text: string): string[] => ["-H", `authorization: Bearer ${text}`];

  /** Puts objects in force, and waits until all of it is seen at once. */
  async function expectStatuses(
    objects: string,
    wanted: readonly (readonly [flags: readonly string[], status: string])[],
  ): Promise<void> {
    mesh.write("policies.yaml", objects);
    await vi.waitFor(async () => {
      for (const [index, [flags, expected]] of wanted.entries()) {
        // oxlint-disable-next-line no-await-in-loop
        expect(await status("/", ...flags), `call ${index}`).toBe(expected);
      }
    }, WAIT);
  }

  test("a token that is there must hold; none passes until a policy asks for one", async () => {
    const rule = `{ issuer: "${claims()["iss"] as string}", audiences: [echo], jwksUri: "http://127.0.0.1:${issuer.port}/keys" }`;
    const good = bearer(token(claims(), { kid: "one" }));
    const bad: (readonly [string[], string])[] = [
      [bearer(token({ ...claims(), exp: 1 }, { kid: "one" })), "401"],
      [bearer(token(claims(), { kid: "one", key: keys.other.privateKey })), "401"],
      [bearer(token({ ...claims(), iss: "other" }, { kid: "one" })), "401"],
      [bearer("no.token.atall"), "401"],
      [bearer(token({ ...claims(), aud: "else" }, { kid: "one" })), "403"],
    ];
    await expectStatuses(authentication(rule), [[good, "200"], [[], "200"], ...bad]);
    const anybody = policy("anybody", 'rules: [{ from: [{ source: { requestPrincipals: ["*"] } }] }]');
    await expectStatuses(authentication(rule) + anybody, [[good, "200"], [[], "403"], ...bad]);
  });

  test("claims decide: lists, words, nested ones, subjects; the token is taken out, claims go on as headers", async () => {
    const iss = claims()["iss"] as string;
    const rule = `{ issuer: "${iss}", outputClaimToHeaders: [{ header: x-team, claim: nested.team }] }`;
    const withToken = bearer(token(claims(), { kid: "one" }));
    const when = (key: string, value: string): string =>
      policy("claims", `rules: [{ when: [{ key: "${key}", values: ["${value}"] }] }]`);
    for (const [key, right, wrong] of [
      ["request.auth.claims[groups]", "dev", "de"],
      ["request.auth.claims[scope]", "write", "read write"],
      ["request.auth.claims[nested][team]", "a", "b"],
      ["request.auth.principal", `${iss}/mary`, `${iss}/joe`],
      ["request.auth.audiences", "echo", "else"],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop
      await expectStatuses(authentication(rule) + when(key, right), [
        [withToken, "200"],
        [[], "403"],
      ]);
      // oxlint-disable-next-line no-await-in-loop
      await expectStatuses(authentication(rule) + when(key, wrong), [[withToken, "403"]]);
    }
    await expectStatuses(authentication(rule), [[withToken, "200"]]);
    const bind = mesh.workload("echo").inbound[0]?.bind;
    const headers = { authorization: withToken[1]?.slice("authorization: ".length), "x-team": "forged" };
    const response = await request(`http://${bind?.address}:${bind?.port}/`, { headers });
    const echoed = await response.body.text();
    expect(echoed).toMatch(/"x-team":\s*"a"/);
    expect(echoed).not.toMatch(/forged|Bearer/);
  });

  test("keys that can't be had refuse every token, and only tokens; they are asked for again", async () => {
    isIssuerUp = false;
    const rule = `{ issuer: "${claims()["iss"] as string}", jwksUri: "http://127.0.0.1:${issuer.port}/others" }`;
    const good = bearer(token(claims(), { kid: "one" }));
    await expectStatuses(authentication(rule), [
      [good, "401"],
      [[], "200"],
    ]);
    const { debug } = mesh.session.runner.file.controlPlane;
    const findings = await request(`http://${debug.address}:${debug.port}/debug/findings`);
    expect(await findings.body.text()).toMatch(/jwks-unavailable.*RequestAuthentication default\/tokens/s);
    isIssuerUp = true;
    await expectStatuses(authentication(rule), [[good, "200"]]);
  });

  test("CUSTOM asks the provider about what its rules select, and nobody about the rest", async () => {
    const ask = policy(
      "ask",
      'action: CUSTOM, provider: { name: asker }, rules: [{ to: [{ operation: { paths: ["/private*"] } }] }]',
    );
    mesh.write("policies.yaml", ask);
    await vi.waitFor(async () => {
      expect(await status("/private")).toBe("403");
      expect(await status("/private", "-H", "x-ext-authz: allow")).toBe("200");
      expect(await status("/public")).toBe("200");
    }, WAIT);
    expect(await mesh.admin("echo", "/stats?filter=ext_authz")).toMatch(/^http\..*ext_authz\.denied: [1-9]/m);
    mesh.write("policies.yaml", ask.replace("name: asker", "name: nobody"));
    await vi.waitFor(async () => {
      expect(await status("/private", "-H", "x-ext-authz: allow")).toBe("403");
      expect(await status("/public")).toBe("200");
    }, WAIT);
  });

  test("a policy that is refused closes what it selects, and says so", async () => {
    mesh.write("policies.yaml", policy("typo", "action: DENY, rules: []"));
    await vi.waitFor(async () => expect(await status("/public")).toBe("403"), WAIT);
    const { debug } = mesh.session.runner.file.controlPlane;
    const findings = await request(`http://${debug.address}:${debug.port}/debug/findings`);
    expect(await findings.body.text()).toMatch(/denies-all.*AuthorizationPolicy default\/typo/s);
    mesh.remove("policies.yaml");
    await vi.waitFor(async () => expect(await status("/public")).toBe("200"), WAIT);
  });
});
