import { beforeAll, describe, expect, test, vi } from "vitest";
import { deployment, destinationRule, service, testMesh, versions, virtualService, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 30_000, interval: 100 };

const onlyTo = (version: string): string =>
  virtualService("echo", `- route: [{ destination: { host: echo, subset: ${version} } }]`);

describe("the life of a mesh, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await testMesh(
      {
        "workloads.yaml":
          deployment("client", { port: undefined }) +
          deployment("echo-v1", { app: "echo" }) +
          deployment("echo-v2", { app: "echo", version: "v2" }) +
          service("echo"),
        "subsets.yaml": destinationRule("echo", versions),
        "route.yaml": onlyTo("v1"),
      },
      { workloadCertTtl: "12s" },
    );
  });

  const answeredBy = async (workload: string): Promise<void> => {
    await vi.waitFor(
      async () => expect((await mesh.call("client", "http://echo/", "-n", "5")).workloads).toEqual({ [workload]: 5 }),
      WAIT,
    );
  };

  test("an edit takes effect without a request lost", async () => {
    await answeredBy("echo-v1");
    const load = mesh.call("client", "http://echo/delay/2", "-n", "600", "-c", "4");
    for (const version of ["v2", "v1", "v2"]) {
      mesh.write("route.yaml", onlyTo(version));
      await answeredBy(`echo-${version}`);
    }
    expect(await load).toMatchObject({ statuses: { "200": 600 }, flags: { "-": 600 } });
  });

  test("a bad object beside good ones is refused by file, line and field; the good ones count", async () => {
    const good = virtualService("echo", "- route: [{ destination: { host: echo, subset: v1 } }]").replace(
      "name: echo }",
      "name: good }",
    );
    mesh.write(
      "route.yaml",
      `${good}${onlyTo("v2").replace("subset: v2 }", "subset: v2 }, weight: many").replace("name: echo }", "name: bad }").replace("[echo]", "[elsewhere]")}`,
    );
    await answeredBy("echo-v1");
    const { out } = await debug("/debug/findings");
    expect(out).toMatch(/route\.yaml:\d+/);
    expect(out).toMatch(/weight/);
    mesh.write("route.yaml", onlyTo("v1"));
    await answeredBy("echo-v1");
  });

  async function debug(path: string): Promise<{ out: string }> {
    const { address, port } = mesh.session.runner.file.controlPlane.debug;
    const response = await fetch(`http://${address}:${port}${path}`);
    return { out: await response.text() };
  }

  test("a file that is no YAML any more leaves its last good state in force", async () => {
    mesh.write("route.yaml", "kind: [\n");
    await vi.waitFor(async () => expect((await debug("/debug/findings")).out).toMatch(/route\.yaml:2/), WAIT);
    await answeredBy("echo-v1");
    mesh.write("route.yaml", onlyTo("v1"));
  });

  test("with the control plane killed traffic goes on; restarted, it catches up", async () => {
    await answeredBy("echo-v1");
    const load = mesh.call("client", "http://echo/delay/5", "-n", "400", "-c", "2");
    const { pid } = mesh.session.runner.controlPlane;
    mesh.session.runner.controlPlane.child.signal("SIGKILL");
    mesh.write("route.yaml", onlyTo("v2"));
    await answeredBy("echo-v2");
    expect(mesh.session.runner.controlPlane.pid).not.toBe(pid);
    expect(await load).toMatchObject({ statuses: { "200": 400 }, flags: { "-": 400 } });
  });

  test("certificates rotate under load without an error", async () => {
    const serial = async (): Promise<string> =>
      /default\s+Cert Chain\s+ACTIVE\s+true\s+(\S+)/.exec(
        (await mesh.run("proxy-config", "secret", "echo-v2")).out,
      )?.[1] ?? "";
    const first = await serial();
    expect(first).not.toBe("");
    let isRotated = false;
    let requests = 0;
    const failures: unknown[] = [];
    const load = (async () => {
      while (!isRotated) {
        const { statuses } = await mesh.call("client", "http://echo/", "-n", "200", "-c", "4");
        requests += 200;
        if (statuses["200"] !== 200) failures.push(statuses);
      }
    })();
    await vi.waitFor(async () => expect(await serial()).not.toBe(first), WAIT);
    const second = await serial();
    await vi.waitFor(async () => expect(await serial()).not.toBe(second), WAIT);
    isRotated = true;
    await load;
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(0);
  });

  test("a Deployment that is added comes up, one that is removed goes", async () => {
    mesh.write("more.yaml", deployment("other") + service("other"));
    await vi.waitFor(
      async () =>
        expect(await mesh.call("client", "http://other/")).toMatchObject({
          statuses: { "200": 1 },
          workloads: { other: 1 },
        }),
      WAIT,
    );
    const { pid } = mesh.workload("other").sidecar ?? {};
    mesh.remove("more.yaml");
    await vi.waitFor(() => expect(() => process.kill(pid ?? 0, 0)).toThrow(), WAIT);
  });

  test("proxy-status and proxy-config print istioctl's tables", async () => {
    const status = await mesh.run("proxy-status");
    expect(status.out).toMatch(/^NAME +CLUSTER +CDS +LDS +EDS +RDS/);
    expect(status.out).toMatch(/client-0\.default +Kubernetes +SYNCED +SYNCED +SYNCED +SYNCED/);
    expect((await mesh.run("proxy-config", "clusters", "client")).out).toMatch(
      /echo\.default\.svc\.cluster\.local +80 +v1 +outbound +EDS +echo\.default/,
    );
    expect((await mesh.run("proxy-config", "listeners", "echo-v1")).out).toMatch(/Cluster: inbound\|8080\|\|/);
    expect((await mesh.run("proxy-config", "routes", "client")).out).toMatch(
      /echo\.default\.svc\.cluster\.local:80.*\/\* +echo\.default/,
    );
    expect((await mesh.run("proxy-config", "endpoints", "client")).out).toMatch(/HEALTHY +OK +outbound\|80\|v2\|echo/);
    expect((await mesh.run("proxy-config", "secret", "client")).out).toMatch(/ROOTCA +CA +ACTIVE +true/);
    expect((await mesh.run("proxy-config", "bootstrap", "client")).out).toMatch(/"id": "sidecar~/);
  });

  test("an unknown workload is answered by those that there are", async () => {
    const { code, err } = await mesh.run("call", "--from", "nobody", "http://echo/");
    expect(code).toBe(2);
    expect(err).toContain(
      'there is no workload "nobody" in this mesh; it has client.default, echo-v1.default, echo-v2.default',
    );
  });
});
