/** What rules make of one request: its path, its headers, its answer, its backend. */
import { request } from "undici";
import { beforeAll, describe, expect, test } from "vitest";
import { deployment, destinationRule, service, testMesh, versions, type TestMesh } from "./mesh.ts";

const RULES = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
  - match: [{ uri: { exact: /rewrite/exact } }]
    rewrite: { uri: /rewritten, authority: other.example }
    route: [{ destination: { host: echo } }]
  - match: [{ uri: { prefix: /rewrite/prefix/ } }]
    rewrite: { uri: /new/ }
    route: [{ destination: { host: echo } }]
  - match: [{ uri: { prefix: /rewrite/regex } }]
    rewrite: { uriRegexRewrite: { match: "/rewrite/regex/([^/]+)/(.*)", rewrite: "/\\\\2/\\\\1" } }
    route: [{ destination: { host: echo } }]
  - match: [{ uri: { prefix: /redirect/port } }]
    redirect: { scheme: https, authority: elsewhere.example, port: 8443, redirectCode: 308 }
  - match: [{ uri: { prefix: /redirect } }]
    redirect: { uri: /moved }
  - match: [{ uri: { exact: /direct } }]
    directResponse: { status: 418, body: { string: short and stout } }
  - match: [{ uri: { prefix: /headers } }]
    headers:
      request: { set: { x-set: by the rule }, add: { x-added: by the rule }, remove: [x-removed] }
      response: { set: { x-answer: by the rule }, remove: [x-powered-by] }
    route:
    - destination: { host: echo }
      headers: { request: { set: { x-set: by the destination } }, response: { add: { x-more: "1" } } }
  - match: [{ uri: { prefix: /cors } }]
    corsPolicy:
      allowOrigins: [{ exact: "https://shop.example" }, { regex: "https://[a-z]+\\\\.shop\\\\.example" }]
      allowMethods: [GET, PUT]
      allowHeaders: [x-token]
      exposeHeaders: [x-answer]
      allowCredentials: true
      maxAge: 1h
    route: [{ destination: { host: echo } }]
  - match: [{ uri: { prefix: /query }, queryParams: { v: { exact: "2" } }, method: { exact: PUT }, withoutHeaders: { x-no: {} } }]
    route: [{ destination: { host: echo, subset: v2 } }]
  - match: [{ uri: { prefix: /query } }]
    route: [{ destination: { host: echo, subset: v1 } }]
  - match: [{ uri: { prefix: /CASE }, ignoreUriCase: true }]
    directResponse: { status: 202 }
  - route: [{ destination: { host: echo } }]
---
`;

const POLICIES = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: guarded }
spec:
  selector: { matchLabels: { app: guarded } }
  rules:
  - to: [{ operation: { paths: ["/items/{*}/price", "/files/{**}"] } }]
  - to: [{ operation: { paths: [/conditional] } }]
    when: [{ key: "request.headers[x-tier]", values: [gold, "silver-*"] }]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: client }
spec:
  workloadSelector: { labels: { app: client } }
  egress: [{ hosts: ["./*"] }]
  outboundTrafficPolicy: { mode: REGISTRY_ONLY }
---
`;

const OTHER_SERVICES = `
apiVersion: v1
kind: Service
metadata: { name: alias }
spec: { type: ExternalName, externalName: echo.default.svc.cluster.local, ports: [{ name: http, port: 80 }] }
---
`;

describe("what rules make of a request, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await testMesh({
      "workloads.yaml":
        deployment("client", { port: undefined }) +
        deployment("echo-v1", { app: "echo" }) +
        deployment("echo-v2", { app: "echo", version: "v2" }) +
        service("echo") +
        deployment("guarded") +
        service("guarded") +
        service("sticky", { app: "echo" }) +
        OTHER_SERVICES,
      "rules.yaml":
        RULES +
        destinationRule("echo", versions) +
        destinationRule("sticky", "trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: x-user } } }"),
      "policies.yaml": POLICIES,
    });
  });

  interface Answer {
    readonly status: number;
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
    readonly body: string;
    /** What the application received, where it was asked. */
    readonly seen: { readonly path: string; readonly headers: Record<string, string>; readonly workload?: string };
  }

  async function call(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
    const proxy = mesh.workload("client").sidecar?.httpProxy;
    const response = await request(`http://${proxy?.address}:${proxy?.port}${path}`, {
      method: method as "GET",
      headers: { host: "echo", ...headers },
    });
    const body = await response.body.text();
    const seen = (body.startsWith("{") ? JSON.parse(body) : { path: "", headers: {} }) as Answer["seen"];
    return { status: response.statusCode, headers: response.headers, body, seen };
  }

  test("a path is rewritten whole, by its prefix and by a pattern; an authority with it", async () => {
    const { seen } = await call("/rewrite/exact?q=1");
    expect(seen).toMatchObject({ path: "/rewritten?q=1", headers: { host: "other.example" } });
    expect((await call("/rewrite/prefix/a/b")).seen.path).toBe("/new/a/b");
    expect((await call("/rewrite/regex/one/two")).seen.path).toBe("/two/one");
  });

  test("redirects keep the query, and name scheme, host and port as the rule says", async () => {
    expect(await call("/redirect?q=1")).toMatchObject({ status: 301, headers: { location: "http://echo/moved?q=1" } });
    expect(await call("/redirect/port/x?q=1")).toMatchObject({
      status: 308,
      headers: { location: "https://elsewhere.example:8443/redirect/port/x?q=1" },
    });
  });

  test("a direct response asks nobody", async () => {
    expect(await call("/direct")).toMatchObject({ status: 418, body: "short and stout" });
    expect(await call("/case/x")).toMatchObject({ status: 202 });
  });

  test("the headers of a destination are set after those of its rule", async () => {
    const answer = await call("/headers", { "x-set": "by me", "x-added": "by me", "x-removed": "by me" });
    expect(answer.seen.headers).toMatchObject({ "x-set": "by the destination", "x-added": "by me, by the rule" });
    expect(answer.seen.headers).not.toHaveProperty("x-removed");
    expect(answer.headers).toMatchObject({ "x-answer": "by the rule", "x-more": "1" });
  });

  test("CORS answers a preflight of the origins that it knows, and names them in answers", async () => {
    const preflight = { "access-control-request-method": "PUT" };
    expect(await call("/cors", { ...preflight, origin: "https://eu.shop.example" }, "OPTIONS")).toMatchObject({
      status: 200,
      headers: {
        "access-control-allow-origin": "https://eu.shop.example",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "x-token",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "3600",
      },
    });
    const stranger = await call("/cors", { origin: "https://evil.example" });
    expect(stranger.headers).not.toHaveProperty("access-control-allow-origin");
    expect((await call("/cors", { origin: "https://shop.example" })).headers).toMatchObject({
      "access-control-allow-origin": "https://shop.example",
      "access-control-expose-headers": "x-answer",
    });
  });

  test("query, method and absent headers choose together", async () => {
    expect((await call("/query?v=2", {}, "PUT")).seen.workload).toBe("echo-v2");
    expect((await call("/query?v=1", {}, "PUT")).seen.workload).toBe("echo-v1");
    expect((await call("/query?v=2")).seen.workload).toBe("echo-v1");
    expect((await call("/query?v=2", { "x-no": "x" }, "PUT")).seen.workload).toBe("echo-v1");
  });

  test("a consistent hash keeps each user with one instance, and users apart", async () => {
    const chosen = new Map<string, Set<string>>();
    for (let index = 0; index < 120; index += 1) {
      const user = `user-${index % 40}`;
      const { seen } = await call("/", { host: "sticky", "x-user": user });
      chosen.set(user, (chosen.get(user) ?? new Set()).add(seen.workload ?? ""));
    }
    expect([...chosen.values()].every(({ size }) => size === 1)).toBe(true);
    expect(new Set([...chosen.values()].flatMap((names) => [...names]))).toEqual(new Set(["echo-v1", "echo-v2"]));
  });

  test("an ExternalName of the mesh is its target", async () => {
    expect(await call("/", { host: "alias" })).toMatchObject({ status: 200 });
  });

  test("path templates and conditions are judged where the request arrives", async () => {
    const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
      (await call(path, { host: "guarded", ...headers })).status;
    expect(await status("/items/7/price")).toBe(200);
    expect(await status("/items/7/8/price")).toBe(403);
    expect(await status("/files/a/b/c")).toBe(200);
    expect(await status("/conditional")).toBe(403);
    expect(await status("/conditional", { "x-tier": "gold" })).toBe(200);
    expect(await status("/conditional", { "x-tier": "silver-2" })).toBe(200);
    expect(await status("/conditional", { "x-tier": "bronze" })).toBe(403);
  });

  test("REGISTRY_ONLY lets nobody out to what the mesh does not know", async () => {
    expect(await call("/", { host: "nobody.example" })).toMatchObject({ status: 502 });
  });
});
