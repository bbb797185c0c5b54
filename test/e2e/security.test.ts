import { request } from "undici";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { deployment, destinationRule, service, testMesh, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 20_000, interval: 100 };

function peerAuthentication(mode: string): string {
  return `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: ${mode} } }
`;
}

describe("mutual TLS, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await testMesh({
      "workloads.yaml":
        deployment("client", { port: undefined }) +
        deployment("echo") +
        service("echo") +
        deployment("naked", { inject: false }) +
        service("naked"),
      "mtls.yaml": peerAuthentication("PERMISSIVE"),
    });
  });

  /** As somebody without a sidecar would. */
  async function plaintext(): Promise<number | string> {
    const bind = mesh.workload("echo").inbound[0]?.bind;
    try {
      const response = await request(`http://${bind?.address}:${bind?.port}/`, {
        headers: { host: "echo" },
        headersTimeout: 5000,
      });
      await response.body.dump();
      return response.statusCode;
    } catch {
      return "refused";
    }
  }

  async function certificateSeen(): Promise<string> {
    // The application sees who called, as the sidecar before it verified.
    const { sidecar } = mesh.workload("client");
    const response = await request(`http://${sidecar?.httpProxy.address}:${sidecar?.httpProxy.port}/`, {
      headers: { host: "echo" },
    });
    const body = (await response.body.json()) as { headers: Record<string, string> };
    return body.headers["x-forwarded-client-cert"] ?? "";
  }

  test("proxy-status says what was left out for a proxy that lacks it: nothing for ours, Istio's filters for Envoy", async () => {
    const lacks = mesh
      .run("proxy-status")
      .then(({ out }) => /^client-0\.default lacks (.*): left out$/m.exec(out)?.[1]);
    const ofEnvoy = "istio.alpn, istio.metadata_exchange, istio.stats";
    expect(await lacks).toBe(process.env["GLASSMESH_DATA_PLANE"] === "envoy" ? ofEnvoy : undefined);
  });

  test("PERMISSIVE takes plaintext and mutual TLS", async () => {
    expect(await plaintext()).toBe(200);
    expect(await mesh.call("client", "http://echo/", "-n", "5")).toMatchObject({ statuses: { "200": 5 } });
    expect(await certificateSeen()).toMatch(
      /By=spiffe:\/\/cluster\.local\/ns\/default\/sa\/echo;Hash=[0-9a-f]{64};.*URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/,
    );
  });

  test("STRICT refuses plaintext and takes mutual TLS", async () => {
    mesh.write("mtls.yaml", peerAuthentication("STRICT"));
    await vi.waitFor(async () => expect(await plaintext()).toBe("refused"), WAIT);
    expect(await mesh.call("client", "http://echo/", "-n", "5")).toMatchObject({ statuses: { "200": 5 } });
    expect(await mesh.call("naked", "http://echo/")).toMatchObject({ statuses: { "0": 1 } });
  });

  test("a workload without a sidecar is called in plaintext", async () => {
    expect(await mesh.call("client", "http://naked/", "-n", "5")).toMatchObject({
      statuses: { "200": 5 },
      workloads: { naked: 5 },
    });
  });

  test("a peer with another SPIFFE id than the expected one is refused", async () => {
    mesh.write(
      "rule.yaml",
      destinationRule(
        "echo",
        'trafficPolicy: { tls: { mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/default/sa/somebody-else"] } }',
      ),
    );
    await vi.waitFor(async () => {
      const report = await mesh.call("client", "http://echo/", "-n", "3");
      expect(report.statuses).toEqual({ "503": 3 });
      expect(Object.keys(report.flags).every((flags) => flags.split(",").includes("UF"))).toBe(true);
    }, WAIT);
    expect(await mesh.admin("client", "/stats?filter=echo.*ssl.fail_verify_san")).toMatch(/: [1-9]/);
    mesh.remove("rule.yaml");
    await vi.waitFor(
      async () => expect(await mesh.call("client", "http://echo/")).toMatchObject({ statuses: { "200": 1 } }),
      WAIT,
    );
  });
});
