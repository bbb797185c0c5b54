import { beforeAll, describe, expect, test, vi } from "vitest";
import { deployment, destinationRule, service, testMesh, versions, virtualService, type TestMesh } from "./mesh.ts";

const WAIT = { timeout: 20_000, interval: 100 };

describe("VirtualService and DestinationRule, over real processes", () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await testMesh({
      "client.yaml": deployment("client", { port: undefined }),
      "echo.yaml":
        deployment("echo-v1", { app: "echo" }) +
        deployment("echo-v2", { app: "echo", version: "v2" }) +
        service("echo"),
      "rules.yaml": destinationRule("echo", versions),
    });
  });

  /** Puts a rule in force, and waits until `isInForce` says that it is. */
  async function rule(http: string, isInForce: () => Promise<boolean>, policy = ""): Promise<void> {
    mesh.write("rules.yaml", virtualService("echo", http) + destinationRule("echo", `${policy}\n${versions}`));
    await vi.waitFor(async () => expect(await isInForce()).toBe(true), WAIT);
  }

  /** Without a rule this happens once in a million times. */
  const onlyV2 = async (...flags: string[]): Promise<boolean> => {
    const { workloads } = await mesh.call("client", "http://echo/", "-n", "20", ...flags);
    return workloads["echo-v2"] === 20;
  };

  test("without a rule both versions answer", async () => {
    const report = await mesh.call("client", "http://echo/", "-n", "40");
    expect(report.statuses).toEqual({ "200": 40 });
    expect(report.flags).toEqual({ "-": 40 });
    expect(Object.keys(report.workloads).toSorted()).toEqual(["echo-v1", "echo-v2"]);
  });

  test("a header chooses the version", async () => {
    await rule(
      `- match: [{ headers: { user: { exact: jason } } }]
  route: [{ destination: { host: echo, subset: v2 } }]
- route: [{ destination: { host: echo, subset: v1 } }]`,
      () => onlyV2("-H", "user: jason"),
    );
    expect((await mesh.call("client", "http://echo/", "-n", "20")).workloads).toEqual({ "echo-v1": 20 });
    expect((await mesh.call("client", "http://echo/", "-n", "20", "-H", "user: jason")).workloads).toEqual({
      "echo-v2": 20,
    });
  });

  test("weights split 90 to 10", async () => {
    await rule(
      `- headers: { response: { set: { x-rule: split } } }
  route:
  - { destination: { host: echo, subset: v1 }, weight: 90 }
  - { destination: { host: echo, subset: v2 }, weight: 10 }`,
      async () => (await mesh.call("client", "http://echo/", "-n", "60")).workloads["echo-v1"] !== 60,
    );
    const { workloads } = await mesh.call("client", "http://echo/", "-n", "1000", "-c", "4");
    // Five standard deviations of a binomial with n = 1000, p = 0.1.
    expect(Math.abs((workloads["echo-v2"] ?? 0) - 100)).toBeLessThan(5 * Math.sqrt(1000 * 0.1 * 0.9));
  });

  test("a request is tried again until it succeeds", async () => {
    await rule(
      `- route: [{ destination: { host: echo, subset: v2 } }]
  retries: { attempts: 3, retryOn: 5xx }`,
      onlyV2,
    );
    const before = await retries();
    const report = await mesh.call("client", `http://echo/fail-first/2/${Math.random()}`);
    expect(report).toMatchObject({ statuses: { "200": 1 }, flags: { "-": 1 } });
    expect((await retries()) - before).toBe(2);
  });

  async function retries(): Promise<number> {
    const text = await mesh.admin("client", "/stats?filter=outbound.80.v2.echo.*upstream_rq_retry$");
    return Number(/: (\d+)/.exec(text)?.[1] ?? 0);
  }

  test("attempts used up return the last answer with URX", async () => {
    const report = await mesh.call("client", `http://echo/fail-first/9/${Math.random()}`);
    expect(report).toMatchObject({ statuses: { "503": 1 }, flags: { URX: 1 } });
  });

  test("a timeout answers 504 with UT", async () => {
    await rule(
      `- route: [{ destination: { host: echo, subset: v2 } }]\n  timeout: 200ms\n  retries: { attempts: 0 }`,
      async () => {
        const { statuses } = await mesh.call("client", "http://echo/delay/3000");
        return statuses["504"] === 1;
      },
    );
    expect(await mesh.call("client", "http://echo/delay/3000", "-n", "3", "-c", "3")).toMatchObject({
      statuses: { "504": 3 },
      flags: { UT: 3 },
    });
    expect(await mesh.call("client", "http://echo/")).toMatchObject({ statuses: { "200": 1 }, flags: { "-": 1 } });
  });

  test("a full pool answers 503 with UO", async () => {
    await rule(
      `- route: [{ destination: { host: echo, subset: v2 } }]\n  retries: { attempts: 0 }`,
      async () => {
        const { flags } = await mesh.call("client", "http://echo/delay/200", "-n", "10", "-c", "10");
        return (flags["UO"] ?? 0) > 0;
      },
      "trafficPolicy: { connectionPool: { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1 } } }",
    );
    const report = await mesh.call("client", "http://echo/delay/300", "-n", "10", "-c", "10");
    expect(report.statuses).toEqual({ "503": 8, "200": 2 });
    expect(report.flags).toEqual({ UO: 8, "-": 2 });
  });

  test("a fault aborts with FI and delays with DI", async () => {
    await rule(
      `- fault: { abort: { percentage: { value: 100 }, httpStatus: 418 } }
  match: [{ uri: { prefix: /tea } }]
  route: [{ destination: { host: echo, subset: v2 } }]
- fault: { delay: { percentage: { value: 100 }, fixedDelay: 300ms } }
  route: [{ destination: { host: echo, subset: v2 } }]`,
      async () => (await mesh.call("client", "http://echo/tea")).statuses["418"] === 1,
    );
    expect(await mesh.call("client", "http://echo/tea", "-n", "5")).toMatchObject({
      statuses: { "418": 5 },
      flags: { FI: 5 },
      workloads: {},
    });
    const slow = await mesh.call("client", "http://echo/", "-n", "2");
    expect(slow).toMatchObject({ statuses: { "200": 2 }, flags: { DI: 2 } });
    expect(slow.latencyMs.p50).toBeGreaterThanOrEqual(295);
  });

  test("a mirror gets a copy, and its answers are thrown away", async () => {
    await rule(
      `- route: [{ destination: { host: echo, subset: v2 } }]
  mirror: { host: echo, subset: v1 }`,
      async () => {
        const before = await countOf("echo-v1");
        await mesh.call("client", "http://echo/");
        await vi
          .waitFor(async () => expect(await countOf("echo-v1")).toBe(before + 1), { timeout: 500, interval: 20 })
          .catch(() => undefined);
        return (await countOf("echo-v1")) === before + 1;
      },
    );
    const before = await countOf("echo-v1");
    expect((await mesh.call("client", "http://echo/", "-n", "20")).workloads).toEqual({ "echo-v2": 20 });
    await vi.waitFor(async () => expect(await countOf("echo-v1")).toBe(before + 20), WAIT);
  });

  async function countOf(workload: string): Promise<number> {
    return (JSON.parse(await mesh.app(workload, "GET", "/echo/count")) as { requests: number }).requests;
  }

  test("an instance that fails is ejected, and comes back", async () => {
    await mesh.app("echo-v2", "POST", "/echo/status/503");
    mesh.write(
      "rules.yaml",
      virtualService("echo", "- route: [{ destination: { host: echo } }]\n  retries: { attempts: 0 }") +
        destinationRule(
          "echo",
          "trafficPolicy: { outlierDetection: { consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 100 } }",
        ),
    );
    // Ejected: only the healthy one answers.
    await vi.waitFor(async () => {
      const report = await mesh.call("client", "http://echo/", "-n", "20");
      expect(report).toMatchObject({ statuses: { "200": 20 }, workloads: { "echo-v1": 20 } });
    }, WAIT);
    expect(await mesh.admin("client", "/clusters")).toMatch(/echo\.default.*health_flags::\/failed_outlier_check/);
    await mesh.app("echo-v2", "POST", "/echo/status/200");
    await vi.waitFor(async () => {
      const { workloads } = await mesh.call("client", "http://echo/", "-n", "20");
      expect(workloads["echo-v2"] ?? 0).toBeGreaterThan(0);
    }, WAIT);
  });
});
