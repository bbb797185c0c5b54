import { describe, expect, test } from "vitest";
import { createWorld, request, TestRequest, TestServer, type World } from "./testing/world.ts";

function passthrough(extra: object = {}): object {
  return { name: "p", type: "ORIGINAL_DST", lbPolicy: "CLUSTER_PROVIDED", connectTimeout: "1s", ...extra };
}

const to = (address: string, port = 80): { originalDestination: { kind: "ip"; address: string; port: number } } => ({
  originalDestination: { kind: "ip", address, port },
});

function addresses(world: World): string[] {
  return [...world.cluster("p").hosts()].map((host) => host.addressText);
}

describe("ORIGINAL_DST", () => {
  test("L-24: the host is where the client wanted to go, made once", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.9", 80);
    expect(world.add(passthrough())).toEqual([]);
    const cluster = world.cluster("p");
    const host = cluster.chooseHost(to("10.0.0.9"));
    expect(host?.addressText).toBe("10.0.0.9:80");
    expect(cluster.chooseHost(to("10.0.0.9"))).toBe(host);
    expect(world.gauge("cluster.p.membership_total")).toBe(1);
    if (host === undefined) throw new Error("no host");
    const sent = new TestRequest(cluster, host);
    await world.runtime.settle();
    expect(sent.status).toBe(200);
  });

  test("L-24: without a destination there is no host", () => {
    const world = createWorld();
    world.add(passthrough());
    expect(world.cluster("p").chooseHost({})).toBeUndefined();
  });

  test("L-24: hosts that nobody asks for go after two rounds of cleanup, those with connections stay", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.9", 80);
    world.add(passthrough({ cleanupInterval: "5s" }));
    const cluster = world.cluster("p");
    cluster.chooseHost(to("10.0.0.8"));
    const busy = cluster.chooseHost(to("10.0.0.9"));
    if (busy === undefined) throw new Error("no host");
    new TestRequest(cluster, busy);
    await world.runtime.advance(5100);
    expect(addresses(world)).toEqual(["10.0.0.8:80", "10.0.0.9:80"]);
    await world.runtime.advance(5000);
    expect(addresses(world)).toEqual(["10.0.0.9:80"]);
    cluster.chooseHost(to("10.0.0.8"));
    await world.runtime.advance(5000);
    expect(addresses(world)).toHaveLength(2);
  });

  test("L-24: a header may name it; nonsense there is counted", () => {
    const world = createWorld();
    world.add(passthrough({ originalDstLbConfig: { useHttpHeader: true, upstreamPortOverride: 8080 } }));
    const cluster = world.cluster("p");
    const named = (value: string) => ({
      header: (name: string) => (name === "x-envoy-original-dst-host" ? value : undefined),
    });
    expect(cluster.chooseHost({ ...to("10.0.0.1"), ...named("10.0.0.2:90") })?.addressText).toBe("10.0.0.2:8080");
    expect(cluster.chooseHost(named("[2001:db8::1]:90"))?.addressText).toBe("[2001:db8::1]:8080");
    expect(cluster.chooseHost({ ...to("10.0.0.1"), ...named("shop:80") })).toBeUndefined();
    expect(world.counter("cluster.p.original_dst_host_invalid")).toBe(1);
    expect(cluster.chooseHost(to("10.0.0.1"))?.addressText).toBe("10.0.0.1:8080");
  });

  test("L-24: another header, or metadata of the request, which goes first", () => {
    const world = createWorld();
    const metadataKey = { key: "ns", path: [{ key: "a" }, { key: "b" }] };
    const problems = world.add(
      passthrough({ originalDstLbConfig: { useHttpHeader: true, httpHeaderName: "X-To", metadataKey } }),
    );
    expect(problems).toEqual([]);
    const cluster = world.cluster("p");
    const header = (name: string) => (name === "x-to" ? "10.0.0.2:90" : undefined);
    const metadata = (value: unknown) => ({ dynamicMetadata: new Map([["ns", { a: { b: value } }]]) });
    expect(cluster.chooseHost({ header })?.addressText).toBe("10.0.0.2:90");
    expect(cluster.chooseHost({ header, ...metadata("10.0.0.3:91") })?.addressText).toBe("10.0.0.3:91");
    expect(cluster.chooseHost({ header, ...metadata(7) })?.addressText).toBe("10.0.0.2:90");
    expect(cluster.chooseHost({ header, ...metadata("nowhere") })).toBeUndefined();
  });

  test("L-24: type and policy belong together", () => {
    const world = createWorld();
    expect(world.add({ name: "p", type: "ORIGINAL_DST" })).toMatchObject([{ path: "lb_policy" }]);
    expect(world.add({ name: "p", type: "STATIC", lbPolicy: "CLUSTER_PROVIDED" })).toMatchObject([
      { path: "lb_policy" },
    ]);
  });

  test("upstream_bind_config: connections come from that address", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.9", 80);
    world.add(passthrough({ upstreamBindConfig: { sourceAddress: { address: "127.0.0.6", portValue: 0 } } }));
    const cluster = world.cluster("p");
    const host = cluster.chooseHost(to("10.0.0.9"));
    if (host === undefined) throw new Error("no host");
    new TestRequest(cluster, host);
    await world.runtime.settle();
    expect(server.connections[0]?.remoteAddress).toMatchObject({ address: "127.0.0.6" });
    void request;
  });
});
