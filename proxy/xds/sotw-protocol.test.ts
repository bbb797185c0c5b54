import { describe, expect, test } from "vitest";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { createMessage } from "#protos/registry.ts";
import type { Resource } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { testClient, type TestClient } from "./testing/client.ts";
import { anyOf, sotwResponse } from "./testing/fake-transport.ts";
import { recordingWatcher, recordingWildcard } from "./testing/recorder.ts";
import { assignment, cluster, route } from "./testing/resources.ts";
import { TypeUrl } from "./types.ts";

const CDS = TypeUrl.cluster;
const EDS = TypeUrl.endpoint;

function sotwClient(): TestClient {
  return testClient({ protocol: "sotw" });
}

describe("ACK and NACK", () => {
  test("X-12 X-15 an ACK has the new version, the nonce and all names, at once", () => {
    const { client, transport } = sotwClient();
    client.resource(EDS, "a", recordingWatcher(), 0);
    client.resource(EDS, "b", recordingWatcher(), 0);
    transport.stream.takeSotw();
    transport.stream.respond(sotwResponse(EDS, { nonce: "n1", version: "1", resources: [assignment("a")] }));
    expect(transport.stream.takeSotw()).toMatchObject([
      { versionInfo: "1", responseNonce: "n1", resourceNames: ["a", "b"], errorDetail: undefined },
    ]);
  });

  test("X-13 a NACK has the old version, the bad nonce and the reason", () => {
    const { client, transport } = sotwClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    clusters.refuse = new Set(["bad"]);
    transport.stream.takeSotw();
    transport.stream.respond(sotwResponse(CDS, { nonce: "n1", version: "1", resources: [cluster("bad")] }));
    expect(transport.stream.takeSotw()).toMatchObject([
      {
        versionInfo: "",
        responseNonce: "n1",
        errorDetail: { code: 13, message: "Error adding/updating cluster(s) bad: x: is not to our taste" },
      },
    ]);
    transport.stream.respond(sotwResponse(CDS, { nonce: "n2", version: "2", resources: [cluster("good")] }));
    transport.stream.respond(
      sotwResponse(CDS, { nonce: "n3", version: "3", resources: [cluster("good"), cluster("bad")] }),
    );
    expect(transport.stream.takeSotw()).toMatchObject([
      { versionInfo: "2", responseNonce: "n2", errorDetail: undefined },
      { versionInfo: "2", responseNonce: "n3", errorDetail: { code: 13 } },
    ]);
  });

  test("X-19 a change of names is a further request with the current version and nonce, and no error", () => {
    const { client, transport } = sotwClient();
    client.resource(EDS, "a", recordingWatcher(), 0);
    transport.stream.respond(sotwResponse(EDS, { nonce: "n1", version: "1", resources: [assignment("a")] }));
    transport.stream.takeSotw();
    client.resource(EDS, "b", recordingWatcher(), 0);
    expect(transport.stream.takeSotw()).toMatchObject([
      { versionInfo: "1", responseNonce: "n1", resourceNames: ["a", "b"], errorDetail: undefined },
    ]);
  });

  test("X-21 a name that comes twice refuses the response", () => {
    const { client, transport } = sotwClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.takeSotw();
    transport.stream.respond(sotwResponse(CDS, { nonce: "n1", version: "1", resources: [cluster("a"), cluster("a")] }));
    expect(clusters.heard).toEqual([]);
    expect(transport.stream.takeSotw()[0]?.errorDetail?.message).toContain("duplicate name a");
  });

  test("X-09 without watchers an empty response is taken in silence, another is answered with the old version", () => {
    const { client, transport } = sotwClient();
    client.resource(EDS, "a", recordingWatcher(), 0).close();
    transport.stream.takeSotw();
    transport.stream.respond(sotwResponse(EDS, { nonce: "n1", version: "1" }));
    expect(transport.stream.takeSotw()).toEqual([]);
    transport.stream.respond(sotwResponse(EDS, { nonce: "n2", version: "2", resources: [assignment("a")] }));
    expect(transport.stream.takeSotw()).toMatchObject([
      { versionInfo: "1", responseNonce: "n2", resourceNames: [], errorDetail: undefined },
    ]);
  });
});

describe("names", () => {
  test("X-23 a wildcard is an empty list of names", () => {
    const { client, transport } = sotwClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    expect(transport.stream.takeSotw()).toMatchObject([{ resourceNames: [], versionInfo: "", responseNonce: "" }]);
  });

  test("X-24 X-25 with names beside it, and after them, the wildcard is explicit", () => {
    const { client, transport } = sotwClient();
    client.wildcard(CDS, recordingWildcard(), 0);
    const named = client.resource(CDS, "a", recordingWatcher(), 0);
    named.close();
    expect(transport.stream.takeSotw().map(({ resourceNames }) => resourceNames)).toEqual([[], ["*", "a"], ["*"]]);
  });

  test("X-46 a name that goes and comes back before the server hears of it keeps what came", () => {
    const { client, transport } = sotwClient();
    const first = client.resource(TypeUrl.route, "a", recordingWatcher(), 0);
    transport.stream.respond(sotwResponse(TypeUrl.route, { nonce: "1", version: "1", resources: [route("a")] }));
    client.pause(TypeUrl.route);
    first.close();
    transport.stream.respond(sotwResponse(TypeUrl.route, { nonce: "2", version: "2", resources: [route("a", "x")] }));
    const again = recordingWatcher();
    client.resource(TypeUrl.route, "a", again, 0);
    // The server does not know that it was gone, and would not send it again.
    expect(again.heard).toEqual(["+2"]);
    client.resume(TypeUrl.route);
    expect(transport.stream.takeSotw().at(-1)).toMatchObject({ resourceNames: ["a"], responseNonce: "2" });
  });

  test("X-29 when the last watcher goes the list is empty", () => {
    const { client, transport } = sotwClient();
    const a = client.resource(EDS, "a", recordingWatcher(), 0);
    const b = client.resource(EDS, "b", recordingWatcher(), 0);
    transport.stream.takeSotw();
    a.close();
    b.close();
    expect(transport.stream.takeSotw().map(({ resourceNames }) => resourceNames)).toEqual([["b"], []]);
  });
});

describe("the state of the world", () => {
  test("X-27 a cluster that is no longer in the response is gone; an empty response removes all", () => {
    const { client, transport } = sotwClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.respond(sotwResponse(CDS, { nonce: "1", version: "1", resources: [cluster("a"), cluster("b")] }));
    transport.stream.respond(sotwResponse(CDS, { nonce: "2", version: "2", resources: [cluster("b")] }));
    transport.stream.respond(sotwResponse(CDS, { nonce: "3", version: "3" }));
    expect(clusters.heard).toEqual([["+a@1", "+b@1"], ["-a"], ["-b"]]);
  });

  test("X-22 an equal resource is not handed over again; the version advances", () => {
    const { client, transport } = sotwClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.respond(sotwResponse(CDS, { nonce: "1", version: "1", resources: [cluster("a")] }));
    transport.stream.respond(sotwResponse(CDS, { nonce: "2", version: "2", resources: [cluster("a")] }));
    transport.stream.respond(sotwResponse(CDS, { nonce: "3", version: "3", resources: [cluster("a", "other")] }));
    expect(clusters.heard).toEqual([["+a@1"], ["+a@3"]]);
    expect(transport.stream.takeSotw().at(-1)?.versionInfo).toBe("3");
  });

  test("X-28 an assignment that is not in the response has not changed", () => {
    const { client, transport } = sotwClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    transport.stream.respond(sotwResponse(EDS, { nonce: "1", version: "1", resources: [assignment("a")] }));
    transport.stream.respond(sotwResponse(EDS, { nonce: "2", version: "2" }));
    expect(watcher.heard).toEqual(["+1"]);
  });

  test("a bad resource never removes a good one: its old version stays", () => {
    const { client, transport } = sotwClient();
    const clusters = recordingWildcard();
    client.wildcard(CDS, clusters, 0);
    transport.stream.respond(sotwResponse(CDS, { nonce: "1", version: "1", resources: [cluster("a"), cluster("b")] }));
    const broken = cluster("a");
    broken.connectTimeout = createMessage<Duration>("google.protobuf.Duration", { seconds: 0n });
    transport.stream.respond(sotwResponse(CDS, { nonce: "2", version: "2", resources: [broken, cluster("b")] }));
    const unreadable = sotwResponse(CDS, { nonce: "3", version: "3", resources: [cluster("a")] });
    for (const any of unreadable.resources) any.value = Buffer.from([0xff]);
    transport.stream.respond(unreadable);
    expect(clusters.heard).toEqual([["+a@1", "+b@1"]]);
    expect(
      transport.stream
        .takeSotw()
        .slice(-2)
        .map(({ errorDetail }) => errorDetail?.code),
    ).toEqual([13, 13]);
  });

  test("X-10 X-50 a wrapped resource is unwrapped, with its TTL", async () => {
    const { client, transport, runtime } = sotwClient();
    const watcher = recordingWatcher();
    client.resource(EDS, "a", watcher, 0);
    const response = sotwResponse(EDS, { nonce: "1", version: "1" });
    response.resources = [
      anyOf(
        createMessage<Resource>("envoy.service.discovery.v3.Resource", {
          name: "a",
          resource: anyOf(assignment("a")),
          ttl: createMessage<Duration>("google.protobuf.Duration", { seconds: 5n }),
        }),
      ),
    ];
    transport.stream.respond(response);
    expect(watcher.heard).toEqual(["+1"]);
    await runtime.advance(5000);
    expect(watcher.heard).toEqual(["+1", "removed"]);
  });
});
