import { describe, expect, test } from "vitest";
import { createMessage } from "#protos/registry.ts";
import type { ResourceError } from "#protos/gen/envoy/additions/discovery_pb.js";
import type { ControlPlane } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { DeltaDiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { createSubscriptionStats } from "./subscription-stats.ts";
import { testClient } from "./testing/client.ts";
import { deltaResponse, sotwResponse } from "./testing/fake-transport.ts";
import { recordingWatcher, recordingWildcard } from "./testing/recorder.ts";
import { assignment, cluster, route } from "./testing/resources.ts";
import { TypeUrl } from "./types.ts";

const CDS = TypeUrl.cluster;
const EDS = TypeUrl.endpoint;

describe("the stream", () => {
  test("X-01 a response for one type leaves the others alone", () => {
    const { client, transport } = testClient();
    const clusters = recordingWildcard();
    const endpoints = recordingWatcher();
    client.wildcard(CDS, clusters, 0);
    client.resource(EDS, "a", endpoints, 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources: [[cluster("a"), "v1"]] }));
    expect(clusters.heard).toEqual([["+a@v1"]]);
    expect(endpoints.heard).toEqual([]);
    expect(transport.stream.takeDelta().map(({ typeUrl, responseNonce }) => [typeUrl, responseNonce])).toEqual([
      [CDS, "1"],
    ]);
  });

  test("X-02 only the first request of a stream carries the node", async () => {
    const { client, transport, reconnect } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    client.wildcard(TypeUrl.listener, recordingWildcard(), 0);
    expect(transport.stream.requests.map(({ node }) => node?.id !== undefined)).toEqual([true, false]);
    await reconnect();
    expect(transport.stream.requests.map(({ node }) => node?.id !== undefined)).toEqual([true, false]);
  });

  test("X-02 every request carries the node when the source does not say otherwise", () => {
    const { client, transport } = testClient({ setNodeOnFirstMessageOnly: false });
    client.wildcard(CDS, recordingWildcard(), 0);
    client.wildcard(TypeUrl.listener, recordingWildcard(), 0);
    expect(transport.stream.requests.map(({ node }) => node !== undefined)).toEqual([true, true]);
  });

  test("X-05 after a reconnect the types are asked for in the order of their first subscription, with the accepted version", async () => {
    const { client, transport, reconnect } = testClient({ protocol: "sotw" });
    client.wildcard(CDS, recordingWildcard(), 0);
    client.resource(EDS, "a", recordingWatcher(), 0);
    client.wildcard(TypeUrl.listener, recordingWildcard(), 0);
    transport.stream.respond(sotwResponse(CDS, { nonce: "n1", version: "7", resources: [cluster("a")] }));
    await reconnect();
    const [clusters, endpoints, listeners] = transport.stream.takeSotw();
    expect([clusters?.typeUrl, endpoints?.typeUrl, listeners?.typeUrl]).toEqual([CDS, EDS, TypeUrl.listener]);
    expect(clusters).toMatchObject({ versionInfo: "7", responseNonce: "", resourceNames: [] });
    expect(endpoints).toMatchObject({ versionInfo: "", responseNonce: "", resourceNames: ["a"] });
  });

  test("X-06 it reconnects with exponential back-off and jitter, from 500 ms to 30 s", async () => {
    const { client, transport, runtime } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    for (let attempt = 0; attempt < 12; attempt++) {
      const bound = Math.min(500 * 2 ** attempt, 30_000);
      const opened = transport.streams.length;
      transport.stream.handler.onEnd("UNAVAILABLE: gone");
      expect(transport.streams.length).toBe(opened);
      await runtime.advance(bound);
      expect(transport.streams.length).toBe(opened + 1);
    }
  });

  test("X-06 an accepted response resets the back-off", async () => {
    const { client, transport, runtime } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    for (let attempt = 0; attempt < 8; attempt++) {
      transport.stream.handler.onEnd("UNAVAILABLE: gone");
      await runtime.advance(30_000);
    }
    transport.stream.respond(deltaResponse(CDS, { nonce: "1" }));
    const opened = transport.streams.length;
    transport.stream.handler.onEnd("UNAVAILABLE: gone");
    await runtime.advance(500);
    expect(transport.streams.length).toBe(opened + 1);
  });

  test("X-07 when the stream ends, what was accepted stays, and connected_state is 0", () => {
    const { client, transport, scope } = testClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.handler.onConnect();
    expect(scope.gauge("control_plane.connected_state").value).toBe(1);
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources: [[cluster("a"), "v1"]] }));
    transport.stream.handler.onEnd("UNAVAILABLE: gone");
    expect(clusters.heard).toEqual([["+a@v1"]]);
    expect(scope.gauge("control_plane.connected_state").value).toBe(0);
  });

  test("X-08 rate limits delay requests and count them", async () => {
    const { client, transport, runtime, scope } = testClient({ rateLimit: { maxTokens: 2, tokensPerSecond: 1 } });
    for (const name of ["a", "b", "c", "d"]) client.resource(EDS, name, recordingWatcher(), 0);
    expect(transport.stream.takeDelta().length).toBe(2);
    expect(scope.counter("control_plane.rate_limit_enforced").value).toBe(1);
    expect(scope.gauge("control_plane.pending_requests").value).toBe(1);
    await runtime.advance(1000);
    expect(transport.stream.takeDelta().map(({ resourceNamesSubscribe }) => resourceNamesSubscribe)).toEqual([
      ["c", "d"],
    ]);
    expect(scope.gauge("control_plane.pending_requests").value).toBe(0);
  });

  test("X-09 a response for a type that was never asked for is ignored", () => {
    const { client, transport, runtime } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("a"), "v1"]] }));
    expect(transport.stream.takeDelta()).toEqual([]);
    expect(runtime.logLines.join("\n")).toContain("nobody asked for");
  });

  test("X-11 the control plane's identifier is kept", () => {
    const { client, transport, scope } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    const response = deltaResponse(CDS, { nonce: "1" });
    response.controlPlane = createMessage<ControlPlane>("envoy.config.core.v3.ControlPlane", {
      identifier: "istiod-1",
    });
    transport.stream.respond(response);
    expect(scope.text("control_plane.identifier").value).toBe("istiod-1");
  });

  test("X-55 requests that come up while a response is applied are combined and follow its ACK", () => {
    const { client, transport } = testClient();
    const clusters = recordingWildcard();
    clusters.during = () => {
      for (const name of ["a", "b", "c"]) client.resource(EDS, name, recordingWatcher(), 0);
    };
    client.wildcard(CDS, clusters, 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources: [[cluster("a"), "v1"]] }));
    expect(transport.stream.takeDelta()).toMatchObject([
      { typeUrl: CDS, responseNonce: "1" },
      { typeUrl: EDS, responseNonce: "", resourceNamesSubscribe: ["a", "b", "c"] },
    ]);
  });

  test("X-55 while a type is paused its requests wait; pauses nest", () => {
    const { client, transport } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    transport.stream.takeDelta();
    client.pause(EDS);
    client.pause(EDS);
    client.resource(EDS, "a", recordingWatcher(), 0);
    client.resource(EDS, "b", recordingWatcher(), 0);
    client.resume(EDS);
    expect(transport.stream.takeDelta()).toEqual([]);
    client.resume(EDS);
    expect(transport.stream.takeDelta()).toMatchObject([{ resourceNamesSubscribe: ["a", "b"] }]);
  });

  test("a handler that throws costs its response, not the proxy", () => {
    const { client, transport, runtime } = testClient();
    const clusters = recordingWildcard();
    clusters.during = () => {
      throw new Error("a bug");
    };
    client.wildcard(CDS, clusters, 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources: [[cluster("a"), "v1"]] }));
    expect(transport.stream.takeDelta()).toMatchObject([
      { responseNonce: "1", errorDetail: { message: "Error adding/updating cluster(s) internal error: a bug" } },
    ]);
    expect(runtime.logLines.join("\n")).toContain("applying a response failed");
    clusters.during = undefined;
    transport.stream.respond(deltaResponse(CDS, { nonce: "2", resources: [[cluster("a"), "v2"]] }));
    expect(clusters.heard.at(-1)).toEqual(["+a@v2"]);
  });

  test("close ends the stream, and nothing reconnects", async () => {
    const { client, transport, runtime } = testClient();
    client.wildcard(CDS, recordingWildcard(), 5000);
    const { stream } = transport;
    client.close();
    stream.handler.onEnd("CANCELLED");
    await runtime.advance(60_000);
    expect(stream.isClosed).toBe(true);
    expect(transport.streams.length).toBe(1);
  });
});

describe("initial_fetch_timeout", () => {
  test("X-31 a wildcard type that gets no answer proceeds after it", async () => {
    const { client, runtime, scope } = testClient();
    const stats = createSubscriptionStats(scope.scope("cluster_manager.cds"));
    const clusters = recordingWildcard(stats);
    client.wildcard(CDS, clusters, 15_000);
    await runtime.advance(14_999);
    expect(clusters.heard).toEqual([]);
    await runtime.advance(1);
    expect(clusters.heard).toEqual([["timeout"]]);
    expect(stats.initFetchTimeout.value).toBe(1);
  });

  test("X-31 a named resource that does not come is absent after it, and is taken when it comes later", async () => {
    const { client, transport, runtime } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 15_000);
    await runtime.advance(15_000);
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("a"), "v1"]] }));
    expect(watcher.heard).toEqual(["timeout", "+v1"]);
  });

  test("X-32 zero waits for ever", async () => {
    const { client, runtime } = testClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    await runtime.advance(3_600_000);
    expect(clusters.heard).toEqual([]);
  });

  test("a response in time stops the clock", async () => {
    const { client, transport, runtime } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 15_000);
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("a"), "v1"]] }));
    await runtime.advance(20_000);
    expect(watcher.heard).toEqual(["+v1"]);
  });
});

describe("statistics", () => {
  test("X-73 attempts, successes, rejections, failures and the version are counted", () => {
    const { client, transport, scope } = testClient();
    const stats = createSubscriptionStats(scope.scope("cluster_manager.cds"));
    const clusters = recordingWildcard(stats);
    client.wildcard(CDS, clusters, 0);
    expect(stats.updateAttempt.value).toBe(1);
    transport.stream.respond(
      deltaResponse(CDS, { nonce: "1", systemVersion: "v7", resources: [[cluster("a"), "v1"]] }),
    );
    expect([stats.updateSuccess.value, stats.updateAttempt.value, stats.versionText.value]).toEqual([1, 2, "v7"]);
    expect(stats.version.value).not.toBe(0);
    clusters.refuse = new Set(["b"]);
    transport.stream.respond(deltaResponse(CDS, { nonce: "2", resources: [[cluster("b"), "v1"]] }));
    expect([stats.updateSuccess.value, stats.updateRejected.value, stats.versionText.value]).toEqual([1, 1, "v7"]);
    transport.stream.handler.onEnd("UNAVAILABLE: gone");
    expect(stats.updateFailure.value).toBe(1);
  });
});

describe("statistics of named resources", () => {
  test("show the version of the response; one that repeats what is there counts too", () => {
    const { client, transport, scope } = testClient({ protocol: "sotw" });
    const stats = createSubscriptionStats(scope.scope("cluster.a"));
    const watcher = recordingWatcher(stats);
    client.resource(EDS, "a", watcher, 0);
    transport.stream.respond(sotwResponse(EDS, { nonce: "1", version: "1", resources: [assignment("a")] }));
    transport.stream.respond(sotwResponse(EDS, { nonce: "2", version: "2", resources: [assignment("a")] }));
    expect(watcher.heard).toEqual(["+1"]);
    expect([stats.updateSuccess.value, stats.updateAttempt.value, stats.versionText.value]).toEqual([2, 3, "2"]);
  });
});

describe("sharing", () => {
  test("X-61 a second watcher of a name gets what is there at once, without a request", () => {
    const { client, transport } = testClient();
    const [first, second] = [recordingWatcher(), recordingWatcher()];
    client.resource(TypeUrl.route, "80", first, 0);
    transport.stream.respond(deltaResponse(TypeUrl.route, { nonce: "1", resources: [[route("80"), "v1"]] }));
    transport.stream.takeDelta();
    const subscription = client.resource(TypeUrl.route, "80", second, 0);
    expect(second.heard).toEqual(["+v1"]);
    expect(transport.stream.takeDelta()).toEqual([]);
    subscription.close();
    transport.stream.respond(deltaResponse(TypeUrl.route, { nonce: "2", resources: [[route("80"), "v2"]] }));
    expect([first.heard, second.heard]).toEqual([["+v1", "+v2"], ["+v1"]]);
  });

  test("X-72 a watcher's refusal is a NACK that names it, and the old version stays", () => {
    const { client, transport } = testClient();
    const watcher = recordingWatcher();
    client.resource(TypeUrl.route, "80", watcher, 0);
    transport.stream.respond(deltaResponse(TypeUrl.route, { nonce: "1", resources: [[route("80"), "v1"]] }));
    watcher.refuses = true;
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(TypeUrl.route, { nonce: "2", resources: [[route("80"), "v2"]] }));
    expect(transport.stream.takeDelta()).toMatchObject([
      { responseNonce: "2", errorDetail: { code: 13, message: "80: x: is not to our taste" } },
    ]);
    const late = recordingWatcher();
    client.resource(TypeUrl.route, "80", late, 0);
    expect(late.heard).toEqual(["+v1"]);
  });
});

describe("resource_errors", () => {
  test("a resource that the server says is missing is absent at once", () => {
    const { client, transport } = testClient();
    const [missing, broken] = [recordingWatcher(), recordingWatcher()];
    client.resource(EDS, "a", missing, 0);
    client.resource(EDS, "b", broken, 0);
    const response: DeltaDiscoveryResponse = deltaResponse(EDS, { nonce: "1" });
    response.resourceErrors = [
      { resourceName: { name: "a" }, errorDetail: { code: 5, message: "no such cluster" } },
      { resourceName: { name: "b" }, errorDetail: { code: 7, message: "not for you" } },
    ].map(({ resourceName, errorDetail }) =>
      createMessage<ResourceError>("envoy.additions.ResourceError", {
        resourceName: { ...resourceName, $typeName: "envoy.additions.ResourceError.ResourceName" },
        errorDetail: { ...errorDetail, $typeName: "google.rpc.Status", details: [] },
      }),
    );
    transport.stream.respond(response);
    expect(missing.heard).toEqual(["removed"]);
    expect(broken.heard).toEqual(["rejected: not for you"]);
  });
});
