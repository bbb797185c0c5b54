import { describe, expect, test } from "vitest";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { createMessage } from "#protos/registry.ts";
import type { DeltaDiscoveryResponse, Resource } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { testClient } from "./testing/client.ts";
import { anyOf, deltaResponse } from "./testing/fake-transport.ts";
import { recordingWatcher, recordingWildcard } from "./testing/recorder.ts";
import { assignment, cluster, route } from "./testing/resources.ts";
import { TypeUrl } from "./types.ts";

const CDS = TypeUrl.cluster;
const EDS = TypeUrl.endpoint;

describe("requests", () => {
  test("X-33 the first request lists all names, and the known versions after a reconnect", async () => {
    const { client, transport, reconnect } = testClient();
    for (const name of ["a", "b"]) client.resource(EDS, name, recordingWatcher(), 0);
    expect(transport.stream.takeDelta()).toMatchObject([
      { resourceNamesSubscribe: ["a"], initialResourceVersions: {} },
      { resourceNamesSubscribe: ["b"], initialResourceVersions: {} },
    ]);
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("a"), "v1"]] }));
    expect(transport.stream.takeDelta()).toMatchObject([{ initialResourceVersions: {} }]);
    await reconnect();
    expect(transport.stream.takeDelta()).toMatchObject([
      { resourceNamesSubscribe: ["a", "b"], initialResourceVersions: { a: "v1" }, responseNonce: "" },
    ]);
  });

  test("X-34 a wildcard is an empty first request, with the versions of all that is there", async () => {
    const { client, transport, reconnect } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    expect(transport.stream.takeDelta()).toMatchObject([
      { resourceNamesSubscribe: [], resourceNamesUnsubscribe: [], initialResourceVersions: {} },
    ]);
    const resources = [[cluster("a"), "v1"] as const, [cluster("b"), "v2"] as const];
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources }));
    await reconnect();
    expect(transport.stream.takeDelta()).toMatchObject([
      { resourceNamesSubscribe: [], initialResourceVersions: { a: "v1", b: "v2" } },
    ]);
  });

  test("X-25 a wildcard with names says so", () => {
    const { client, transport } = testClient();
    client.pause(CDS);
    client.wildcard(CDS, recordingWildcard(), 0);
    client.resource(CDS, "on-demand", recordingWatcher(), 0);
    client.resume(CDS);
    expect(transport.stream.takeDelta()).toMatchObject([{ resourceNamesSubscribe: ["*", "on-demand"] }]);
  });

  test("X-36 an ACK has the nonce, a spontaneous subscription has none, and both may be one request", () => {
    const { client, transport } = testClient();
    client.resource(EDS, "a", recordingWatcher(), 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("a"), "v1"]] }));
    client.resource(EDS, "b", recordingWatcher(), 0);
    const [ack, subscription] = transport.stream.takeDelta();
    expect(ack).toMatchObject({ responseNonce: "1", resourceNamesSubscribe: [] });
    expect(ack?.errorDetail).toBeUndefined();
    expect(subscription).toMatchObject({ responseNonce: "", resourceNamesSubscribe: ["b"] });
    client.pause(EDS);
    client.resource(EDS, "c", recordingWatcher(), 0);
    transport.stream.respond(deltaResponse(EDS, { nonce: "2", resources: [[assignment("b"), "v1"]] }));
    transport.stream.respond(deltaResponse(EDS, { nonce: "3", resources: [[assignment("b"), "v2"]] }));
    client.resume(EDS);
    expect(transport.stream.takeDelta()).toMatchObject([
      { responseNonce: "2", resourceNamesSubscribe: ["c"] },
      { responseNonce: "3", resourceNamesSubscribe: [] },
    ]);
  });

  test("X-29 X-45 when the last watcher goes the name is unsubscribed, also when the server had removed it", () => {
    const { client, transport } = testClient();
    const watcher = recordingWatcher();
    const [one, two] = [client.resource(EDS, "a", watcher, 0), client.resource(EDS, "a", recordingWatcher(), 0)];
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", removed: ["a"] }));
    expect(watcher.heard).toEqual(["removed"]);
    transport.stream.takeDelta();
    one.close();
    one.close();
    expect(transport.stream.takeDelta()).toEqual([]);
    two.close();
    expect(transport.stream.takeDelta()).toMatchObject([{ resourceNamesUnsubscribe: ["a"], responseNonce: "" }]);
  });

  test("X-46 a name that goes and comes back between two requests is subscribed anew", () => {
    const { client, transport } = testClient();
    const first = client.resource(EDS, "a", recordingWatcher(), 0);
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("a"), "v1"]] }));
    transport.stream.takeDelta();
    client.pause(EDS);
    first.close();
    const again = recordingWatcher();
    client.resource(EDS, "a", again, 0);
    client.resume(EDS);
    expect(again.heard).toEqual([]);
    expect(transport.stream.takeDelta()).toMatchObject([
      { resourceNamesSubscribe: ["a"], resourceNamesUnsubscribe: [] },
    ]);
  });
});

describe("responses", () => {
  test("X-44 what is not listed stays; what is removed goes", () => {
    const { client, transport } = testClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    const resources = [[cluster("a"), "v1"] as const, [cluster("b"), "v1"] as const];
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources }));
    transport.stream.respond(deltaResponse(CDS, { nonce: "2", resources: [[cluster("c"), "v1"]], removed: ["a"] }));
    expect(clusters.heard).toEqual([
      ["+a@v1", "+b@v1"],
      ["+c@v1", "-a"],
    ]);
  });

  test("the first response counts even when it is empty", () => {
    const { client, transport } = testClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 15_000);
    transport.stream.respond(deltaResponse(CDS, { nonce: "1" }));
    transport.stream.respond(deltaResponse(CDS, { nonce: "2" }));
    expect(clusters.heard).toEqual([[]]);
  });

  test("X-40 a name in removed_resources does not exist, and may appear later", () => {
    const { client, transport } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 15_000);
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", removed: ["a"] }));
    transport.stream.respond(deltaResponse(EDS, { nonce: "2", resources: [[assignment("a"), "v1"]] }));
    expect(watcher.heard).toEqual(["removed", "+v1"]);
  });

  test("X-26 what nobody asked for is ignored", () => {
    const { client, transport } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(EDS, { nonce: "1", resources: [[assignment("b"), "v1"]] }));
    expect(watcher.heard).toEqual([]);
    const [ack] = transport.stream.takeDelta();
    expect(ack?.responseNonce).toBe("1");
    expect(ack?.errorDetail).toBeUndefined();
  });

  test.each([
    ["twice in resources", { resources: [[cluster("a"), "1"] as const, [cluster("a"), "2"] as const] }],
    ["in resources and in removed_resources", { resources: [[cluster("a"), "1"] as const], removed: ["a"] }],
  ])("X-42 a name that is %s refuses the whole response", (_, answer) => {
    const { client, transport } = testClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.takeDelta();
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", ...answer }));
    expect(clusters.heard).toEqual([]);
    expect(transport.stream.takeDelta()[0]?.errorDetail?.message).toContain("duplicate name a found");
  });

  test("X-43 after a NACK the client tells what it has: of what it refused the old version", async () => {
    const { client, transport, reconnect } = testClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources: [[cluster("a"), "v1"]] }));
    clusters.refuse = new Set(["a", "b"]);
    const resources = [[cluster("a"), "v2"] as const, [cluster("b"), "v2"] as const, [cluster("c"), "v2"] as const];
    transport.stream.respond(deltaResponse(CDS, { nonce: "2", resources }));
    await reconnect();
    expect(transport.stream.takeDelta()).toMatchObject([{ initialResourceVersions: { a: "v1", c: "v2" } }]);
  });

  test("X-16 of one response the good is applied, the bad is named", () => {
    const { client, transport } = testClient();
    const clusters = recordingWildcard();
    clusters.refuse = new Set(["refused"]);
    client.wildcard(CDS, clusters, 0);
    transport.stream.takeDelta();
    const broken = cluster("broken");
    broken.connectTimeout = createMessage<Duration>("google.protobuf.Duration", { seconds: 0n });
    transport.stream.respond(
      deltaResponse(CDS, {
        nonce: "1",
        resources: [
          [cluster("good"), "v1"],
          [broken, "v1"],
          [cluster("refused"), "v1"],
        ],
      }),
    );
    expect(clusters.heard).toEqual([["+good@v1"]]);
    expect(transport.stream.takeDelta()[0]?.errorDetail).toMatchObject({
      code: 13,
      message:
        "Error adding/updating cluster(s) broken: connect_timeout: Proto constraint validation failed " +
        "(ClusterValidationError.ConnectTimeout: value must be greater than 0s)\nrefused: x: is not to our taste",
    });
  });

  test("X-10 a resource of another type is refused", () => {
    const { client, transport } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    transport.stream.takeDelta();
    const response = deltaResponse(CDS, { nonce: "1", resources: [[route("a"), "v1"]] });
    transport.stream.respond(response);
    expect(transport.stream.takeDelta()[0]?.errorDetail?.message).toContain("does not match the message-wide type URL");
  });

  test("X-71 a resource under another name than its own is refused", () => {
    const { client, transport } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    transport.stream.takeDelta();
    const response = deltaResponse(EDS, { nonce: "1", resources: [[assignment("b"), "v1"]] });
    for (const resource of response.resources) resource.name = "a";
    transport.stream.respond(response);
    expect(watcher.heard).toEqual(["rejected: Unexpected EDS cluster (expecting a): b"]);
    expect(transport.stream.takeDelta()[0]?.errorDetail?.message).toBe("a: Unexpected EDS cluster (expecting a): b");
  });

  test("X-74 a field that nobody knows is refused by its number, with its place", () => {
    const { client, transport } = testClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    transport.stream.takeDelta();
    const response = deltaResponse(CDS, { nonce: "1", resources: [[cluster("a"), "v1"]] });
    const [resource] = response.resources;
    // Field 4000, a varint.
    if (resource?.resource !== undefined) {
      resource.resource.value = Buffer.concat([resource.resource.value, Buffer.from([0x80, 0xfa, 0x01, 0x01])]);
    }
    transport.stream.respond(response);
    expect(transport.stream.takeDelta()[0]?.errorDetail?.message).toContain(
      "a: #4000: unknown field: envoy.config.cluster.v3.Cluster has no field 4000",
    );
  });

  test("X-47 an alias that does not resolve is absent", () => {
    const { client, transport } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    const response = deltaResponse(EDS, { nonce: "1" });
    response.resources = [
      createMessage<Resource>("envoy.service.discovery.v3.Resource", { name: "z", aliases: ["a"] }),
    ];
    transport.stream.respond(response);
    expect(watcher.heard).toEqual(["removed"]);
  });
});

describe("TTL", () => {
  const withTtl = (nonce: string, version: string, hasResource: boolean): DeltaDiscoveryResponse => {
    const response = deltaResponse(EDS, { nonce, resources: [[assignment("a"), version]] });
    for (const resource of response.resources) {
      resource.ttl = createMessage<Duration>("google.protobuf.Duration", { seconds: 10n });
      if (!hasResource) resource.resource = undefined;
    }
    return response;
  };

  test("X-50 a resource goes when its TTL runs out", async () => {
    const { client, transport, runtime } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    transport.stream.respond(withTtl("1", "v1", true));
    await runtime.advance(9_999);
    expect(watcher.heard).toEqual(["+v1"]);
    await runtime.advance(1);
    expect(watcher.heard).toEqual(["+v1", "removed"]);
  });

  test("X-51 a heartbeat refreshes the TTL, updates nothing, and is acknowledged", async () => {
    const { client, transport, runtime } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    transport.stream.respond(withTtl("1", "v1", true));
    await runtime.advance(9_000);
    transport.stream.takeDelta();
    transport.stream.respond(withTtl("2", "v1", false));
    expect(transport.stream.takeDelta()).toMatchObject([{ responseNonce: "2", errorDetail: undefined }]);
    await runtime.advance(9_000);
    expect(watcher.heard).toEqual(["+v1"]);
    await runtime.advance(1_000);
    expect(watcher.heard).toEqual(["+v1", "removed"]);
  });

  test("a resource without a TTL stays", async () => {
    const { client, transport, runtime } = testClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    transport.stream.respond(withTtl("1", "v1", true));
    transport.stream.respond(deltaResponse(EDS, { nonce: "2", resources: [[assignment("a"), "v2"]] }));
    await runtime.advance(60_000);
    expect(watcher.heard).toEqual(["+v1", "+v2"]);
  });
});

test("an Any inside a resource is looked into", () => {
  const { client, transport } = testClient();
  client.wildcard(CDS, recordingWildcard(), 0);
  transport.stream.takeDelta();
  const withAny = cluster("a");
  withAny.typedExtensionProtocolOptions = { x: anyOf(route("r")) };
  const any = withAny.typedExtensionProtocolOptions["x"];
  if (any !== undefined) any.typeUrl = "type.googleapis.com/not.known";
  transport.stream.respond(deltaResponse(CDS, { nonce: "1", resources: [[withAny, "v1"]] }));
  expect(transport.stream.takeDelta()[0]?.errorDetail?.message).toContain(
    "a: typed_extension_protocol_options[x]: unknown type type.googleapis.com/not.known",
  );
});
