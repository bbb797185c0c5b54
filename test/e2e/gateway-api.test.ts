import { Agent, request } from "undici";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 20_000, interval: 100 };

function httpRoute(rules: string, parent = "{ group: '', kind: Service, name: echo }", name = "echo"): string {
  return `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name} }
spec:
  parentRefs: [${parent}]
  rules:
${rules.trim().replace(/^/gm, "  ")}
---
`;
}

const echoes =
  deployment("client", { port: undefined }) +
  deployment("echo-v1", { app: "echo-v1" }) +
  deployment("echo-v2", { app: "echo-v2", version: "v2" }) +
  service("echo", { app: "echo-v1" }) +
  service("echo-v1") +
  service("echo-v2");

describe("HTTPRoute in the mesh, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await testMesh({
      "workloads.yaml": echoes,
      "routes.yaml": httpRoute("- backendRefs: [{ name: echo-v1, port: 80 }]"),
    });
  });

  /** Puts rules in force, and waits until `isInForce` says that they are. */
  async function rules(text: string, isInForce: () => Promise<boolean>): Promise<void> {
    mesh.write("routes.yaml", httpRoute(text));
    await vi.waitFor(async () => expect(await isInForce()).toBe(true), WAIT);
  }

  const answersOf = async (path: string, ...flags: string[]): Promise<Readonly<Record<string, number>>> =>
    (await mesh.call("client", `http://echo${path}`, "-n", "20", ...flags)).workloads;

  test("a header and a path choose the backend; a prefix ends where a segment does", async () => {
    await rules(
      `
- { matches: [{ headers: [{ name: user, value: jason }] }, { path: { value: /v2 } }], backendRefs: [{ name: echo-v2, port: 80 }] }
- { backendRefs: [{ name: echo-v1, port: 80 }] }`,
      async () => (await answersOf("/v2"))["echo-v2"] === 20,
    );
    expect(await answersOf("/", "-H", "user: jason")).toEqual({ "echo-v2": 20 });
    expect(await answersOf("/v2/more")).toEqual({ "echo-v2": 20 });
    expect(await answersOf("/v2more")).toEqual({ "echo-v1": 20 });
    expect(await answersOf("/")).toEqual({ "echo-v1": 20 });
  });

  test("weights split 90 to 10", async () => {
    await rules(
      `- { backendRefs: [{ name: echo-v1, port: 80, weight: 90 }, { name: echo-v2, port: 80, weight: 10 }] }`,
      async () => (await mesh.call("client", "http://echo/v2", "-n", "60")).workloads["echo-v1"] !== undefined,
    );
    const { workloads } = await mesh.call("client", "http://echo/", "-n", "1000", "-c", "4");
    // Five standard deviations of a binomial with n = 1000, p = 0.1.
    expect(Math.abs((workloads["echo-v2"] ?? 0) - 100)).toBeLessThan(5 * Math.sqrt(1000 * 0.1 * 0.9));
  });

  test("a timeout answers 504; a backend that is not there and a rule without one answer 500", async () => {
    await rules(
      `
- { matches: [{ path: { value: /delay } }], timeouts: { request: 200ms }, backendRefs: [{ name: echo-v1, port: 80 }] }
- { matches: [{ path: { value: /nowhere } }], backendRefs: [{ name: nobody, port: 80 }] }
- { matches: [{ path: { value: /nothing } }] }
- { backendRefs: [{ name: echo-v1, port: 80 }] }`,
      async () => (await mesh.call("client", "http://echo/delay/3000")).statuses["504"] === 1,
    );
    expect((await mesh.call("client", "http://echo/nowhere")).statuses).toEqual({ "500": 1 });
    expect((await mesh.call("client", "http://echo/nothing")).statuses).toEqual({ "500": 1 });
    expect((await mesh.call("client", "http://echo/")).statuses).toEqual({ "200": 1 });
  });

  test("the status and the findings tell what is wrong", async () => {
    const { address, port } = mesh.session.runner.file.controlPlane.debug;
    const response = await request(`http://${address}:${port}/debug/gatewayapiz?name=HTTPRoute/default/echo`);
    expect(await response.body.json()).toMatchObject({
      parents: [
        {
          parentRef: { kind: "Service", name: "echo" },
          conditions: [
            { type: "Accepted", status: "True" },
            { type: "ResolvedRefs", status: "False", reason: "BackendNotFound" },
          ],
        },
      ],
    });
    const findings = await request(`http://${address}:${port}/debug/findings`);
    expect(await findings.body.text()).toMatch(/routes\.yaml:\d+:\d+: HTTPRoute default\/echo .*BackendNotFound/);
  });
});

const servers = testAuthority("example.com");
const clients = testAuthority("clients.example.com");
const identity = servers.server(["www.example.com"]);
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const certificates = [
  {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "www" },
    data: { "tls.crt": base64(identity.certificateChain), "tls.key": base64(identity.privateKey) },
  },
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "clients" }, data: { "ca.crt": clients.rootPem } },
]
  .map((object) => JSON.stringify(object))
  .join("\n---\n");

describe("a Gateway of the Gateway API, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await testMesh({
      "workloads.yaml": echoes,
      "certificates.yaml": certificates,
      "gateway.yaml": `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: istio
  tls: { frontend: { default: { validation: { caCertificateRefs: [{ group: "", kind: ConfigMap, name: clients }] } } } }
  listeners:
  - { name: http, port: 80, protocol: HTTP, hostname: "*.example.com" }
  - { name: https, port: 443, protocol: HTTPS, hostname: www.example.com, tls: { certificateRefs: [{ name: www }] } }
---
${httpRoute(
  `
- { matches: [{ path: { value: /old } }], filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } } }], backendRefs: [{ name: echo-v2, port: 80 }] }
- { matches: [{ path: { value: /gone } }], filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 301, path: { type: ReplacePrefixMatch, replacePrefixMatch: /here } } }] }
- { backendRefs: [{ name: echo-v1, port: 80 }] }`,
  "{ name: edge }",
  "web",
)}`,
    });
  });

  test("it is deployed as edge-istio, and programmed", async () => {
    expect(mesh.workload("edge-istio").servers).toMatchObject([
      { gateway: "default/edge", port: 80, protocol: "HTTP" },
      { gateway: "default/edge", port: 443, protocol: "HTTPS" },
    ]);
    const { address, port } = mesh.session.runner.file.controlPlane.debug;
    await vi.waitFor(async () => {
      const response = await request(`http://${address}:${port}/debug/gatewayapiz?name=Gateway/default/edge`);
      expect(await response.body.json()).toMatchObject({
        conditions: [
          { type: "Accepted", status: "True" },
          { type: "Programmed", status: "True" },
          { type: "ResolvedRefs", status: "True" },
        ],
        listeners: [
          { name: "http", attachedRoutes: 1 },
          { name: "https", attachedRoutes: 1 },
        ],
      });
    }, WAIT);
  });

  test("it routes by path, rewrites and redirects; other hosts are not known", async () => {
    const call = (path: string, host = "www.example.com"): ReturnType<TestMesh["call"]> =>
      mesh.call("gateway:edge-istio", `http://${host}${path}`);
    await vi.waitFor(async () => expect((await call("/")).workloads).toEqual({ "echo-v1": 1 }), WAIT);
    expect((await call("/old/status/418")).statuses).toEqual({ "418": 1 });
    expect((await call("/old")).workloads).toEqual({ "echo-v2": 1 });
    expect((await call("/gone/x")).statuses).toEqual({ "301": 1 });
    expect((await call("/", "www.example.org")).statuses).toEqual({ "404": 1 });
  });

  test("over TLS clients need a certificate of the CA that the Gateway names", async () => {
    const bind = mesh.workload("edge-istio").servers?.find(({ port }) => port === 443)?.bind;
    const own = clients.server(["client"]);
    const ask = async (identityOfClient: { readonly cert?: string; readonly key?: string }): Promise<number> => {
      const connect = { ca: servers.rootPem, servername: "www.example.com", ...identityOfClient };
      const dispatcher = new Agent({ connect });
      try {
        const url = `https://${bind?.address ?? ""}:${bind?.port ?? 0}/`;
        const response = await request(url, { headers: { host: "www.example.com" }, dispatcher });
        await response.body.dump();
        return response.statusCode;
      } finally {
        await dispatcher.destroy();
      }
    };
    const known = { cert: own.certificateChain, key: own.privateKey };
    await vi.waitFor(async () => expect(await ask(known)).toBe(200), WAIT);
    await expect(ask({})).rejects.toThrow(/certificate|alert|socket|reset/i);
    const stranger = servers.server(["client"]);
    await expect(ask({ cert: stranger.certificateChain, key: stranger.privateKey })).rejects.toThrow(
      /certificate|alert|socket|reset|closed/i,
    );
  });
});
