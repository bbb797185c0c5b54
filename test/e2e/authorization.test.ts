import { request } from "undici";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 20_000, interval: 100 };

function policy(name: string, spec: string, annotations = ""): string {
  return `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}${annotations} }
spec: ${spec}
---
`;
}

/** As istiod's users write them: for the workload that is called, so that the callers stay open. */
const forEcho = (rest: string): string => `{ selector: { matchLabels: { app: echo } }, ${rest} }`;

describe("AuthorizationPolicy, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    const inDepot = deployment("carrier", { port: undefined }).replace(
      /metadata: \{ name: carrier \}/g,
      "metadata: { name: carrier, namespace: depot }",
    );
    mesh = await testMesh({
      "workloads.yaml":
        deployment("client", { port: undefined }) +
        deployment("other", { port: undefined }) +
        inDepot +
        deployment("echo") +
        service("echo") +
        deployment("raw") +
        service("raw", { portName: "tcp" }),
    });
  });

  const URL = "http://echo.default.svc.cluster.local";

  async function status(from: string, path = "/", ...flags: string[]): Promise<string> {
    const { statuses } = await mesh.call(from, `${URL}${path}`, ...flags);
    return Object.keys(statuses).join();
  }

  /** Straight to a sidecar, as somebody without one would. */
  async function plaintext(workload: string, path = "/"): Promise<number | string> {
    const bind = mesh.workload(workload).inbound[0]?.bind;
    try {
      const response = await request(`http://${bind?.address}:${bind?.port}${path}`, { headersTimeout: 5000 });
      await response.body.dump();
      return response.statusCode;
    } catch {
      return "refused";
    }
  }

  /** Puts policies in force, and waits until all of it is seen at once: what came before looks different. */
  async function expectVerdicts(
    policies: string,
    verdicts: readonly (readonly [seen: () => Promise<unknown>, expected: unknown])[],
  ): Promise<void> {
    mesh.write("authz.yaml", policies);
    await vi.waitFor(async () => {
      for (const [index, [seen, expected]] of verdicts.entries()) {
        expect(await seen(), `verdict ${index}`).toEqual(expected);
      }
    }, WAIT);
  }

  const is =
    (from: string, path = "/", ...flags: string[]) =>
    () =>
      status(from, path, ...flags);

  test("a principal is let in, others and plaintext are not", async () => {
    const rules = `rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/client] } }] }]`;
    await expectVerdicts(policy("client-only", forEcho(rules)), [
      [is("client"), "200"],
      [is("other"), "403"],
      [is("carrier.depot"), "403"],
      [() => plaintext("echo"), 403],
    ]);
    expect(await mesh.admin("echo", "/stats?filter=rbac")).toMatch(/^http\..*rbac\.denied: [1-9]/m);
  });

  test("a namespace and a service account", async () => {
    const rules = `rules: [{ from: [{ source: { namespaces: [depot] } }, { source: { serviceAccounts: [other] } }] }]`;
    await expectVerdicts(policy("depot", forEcho(rules)), [
      [is("client"), "403"],
      [is("carrier.depot"), "200"],
      [is("other"), "200"],
      [() => plaintext("echo"), 403],
    ]);
  });

  test("method, path, header and port must all be right", async () => {
    const rules = `rules: [{ to: [{ operation: { methods: [GET], paths: ["/a/*", "/b/{*}/c"], ports: ["8080"] } }], when: [{ key: "request.headers[X-Role]", values: [admin] }] }]`;
    const admin = ["-H", "x-role: admin"];
    await expectVerdicts(policy("all-of-it", forEcho(rules)), [
      [is("client", "/a/b", ...admin), "200"],
      [is("client", "/a/b?x=/c", ...admin), "200"],
      [is("client", "/b/x/c", ...admin), "200"],
      [is("client", "/b/x/y/c", ...admin), "403"],
      [is("client", "/a/b"), "403"],
      [is("client", "/a/b", "-H", "x-role: guest"), "403"],
      [is("client", "/a/b", "-X", "PUT", ...admin), "403"],
      [is("client", "/c", ...admin), "403"],
    ]);
    const other = rules.replace('"8080"', '"9999"');
    await expectVerdicts(policy("all-of-it", forEcho(other)), [[is("client", "/a/b", ...admin), "403"]]);
  });

  test("DENY wins over ALLOW; what is judged is the path that is forwarded", async () => {
    const allow = policy("let-in", forEcho("rules: [{}]"));
    const deny = policy(
      "keep-out",
      forEcho('action: DENY, rules: [{ to: [{ operation: { paths: [/private, "/private/*"], ports: ["8080"] } }] }]'),
    );
    await expectVerdicts(allow + deny, [
      [is("client", "/public"), "200"],
      [is("client", "/private"), "403"],
      [is("client", "/private/x"), "403"],
      [is("client", "/private?x"), "403"],
      [is("client", "/public/../private"), "403"],
      [is("client", "/%70rivate"), "403"],
      [() => plaintext("echo", "/./private"), 403],
    ]);
  });

  test("DENY of everybody without a name refuses plaintext", async () => {
    const deny = forEcho('action: DENY, rules: [{ from: [{ source: { notPrincipals: ["*"] } }] }]');
    await expectVerdicts(policy("names-only", deny), [
      [() => plaintext("echo"), 403],
      [is("client", "/private"), "200"],
    ]);
  });

  test("deny all, then allow one", async () => {
    const none = policy("deny-all", "{}");
    await expectVerdicts(none, [
      [is("client"), "403"],
      [is("carrier.depot"), "403"],
    ]);
    const one = policy("allow-carrier", forEcho("rules: [{ from: [{ source: { namespaces: [depot] } }] }]"));
    await expectVerdicts(none + one, [
      [is("carrier.depot"), "200"],
      [is("client"), "403"],
    ]);
    mesh.remove("authz.yaml");
    await vi.waitFor(async () => expect(await status("client")).toBe("200"), WAIT);
  });

  test("a dry run refuses nothing, and counts what it would have", async () => {
    const tried = policy(
      "tried",
      forEcho("rules: [{ to: [{ operation: { methods: [GET] } }] }]"),
      ', annotations: { istio.io/dry-run: "true" }',
    );
    const counted = async (): Promise<boolean> =>
      /shadow_denied: [1-9]/.test(await mesh.admin("echo", "/stats?filter=istio_dry_run_allow_"));
    await expectVerdicts(tried, [
      [is("client", "/", "-X", "PUT"), "200"],
      [counted, true],
    ]);
  });

  test("TCP: connections are closed that no rule lets in", async () => {
    const rawOnly = (rules: string): string => policy("raw", `{ selector: { matchLabels: { app: raw } }, ${rules} }`);
    const raw = (): Promise<number | string> => plaintext("raw");
    await expectVerdicts(policy("elsewhere", "{ selector: { matchLabels: { app: echo } } }"), [[raw, 200]]);
    await expectVerdicts(rawOnly("rules: [{ from: [{ source: { namespaces: [default] } }] }]"), [[raw, "refused"]]);
    expect(await mesh.admin("raw", "/stats?filter=tcp.rbac")).toMatch(/tcp\.rbac\.denied: [1-9]/);
    const loopback = "{ from: [{ source: { ipBlocks: [127.0.0.0/8] } }] }";
    const getOnly = "{ to: [{ operation: { methods: [GET] } }] }";
    await expectVerdicts(rawOnly(`rules: [${getOnly}, ${loopback}]`), [[raw, 200]]);
    // A rule that asks for a method says nothing of TCP: alone it lets nobody in.
    await expectVerdicts(rawOnly(`rules: [${getOnly}]`), [[raw, "refused"]]);
  });
});
