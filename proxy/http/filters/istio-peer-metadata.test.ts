import { describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import { DOWNSTREAM_PEER, UPSTREAM_PEER } from "../../observability/peer.ts";
import { StreamInfo } from "../../stream-info.ts";
import type { FilterFactoryContext, FilterStream } from "../filter.ts";
import { HeaderMap } from "../header-map.ts";
import { istioPeerMetadata } from "./istio-peer-metadata.ts";

function parse(json: Record<string, unknown>): ReturnType<typeof istioPeerMetadata.parse> {
  const read = messageFromJson("io.istio.http.peer_metadata.Config", json);
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  return istioPeerMetadata.parse(read.value, "");
}

function filterOf(json: Record<string, unknown>, name: string, external = false) {
  const config = parse(json).value;
  if (config === undefined) throw new Error("the configuration is refused");
  const context = {
    node: {
      id: `sidecar~1~${name}.ns~x`,
      metadata: { NAME: name, NAMESPACE: "ns", WORKLOAD_NAME: `${name}-w`, LABELS: { app: name, secret: "s" } },
    },
    clusters: { get: () => ({ metadata: { istio: { external } } }) },
  } as unknown as FilterFactoryContext;
  const info = new StreamInfo();
  const stream = { info, forwardRoute: { clusterName: "c" } } as unknown as FilterStream;
  return { filter: istioPeerMetadata.create(config, context, "istio.metadata_exchange")(stream), info };
}

const CLIENT = {
  upstream_discovery: [{ istio_headers: {} }, { workload_discovery: {} }],
  upstream_propagation: [{ istio_headers: {} }],
};
const SERVER = {
  downstream_discovery: [{ istio_headers: {} }, { workload_discovery: {} }],
  downstream_propagation: [{ istio_headers: {} }],
};

describe("istio.metadata_exchange (HTTP)", () => {
  test("client and server learn who the other is, and applications see none of it", () => {
    const client = filterOf(CLIENT, "client");
    const server = filterOf(SERVER, "server");
    const request = HeaderMap.of({ ":path": "/" });
    client.filter?.decodeHeaders?.(request, true);
    expect(request.names).toEqual(["x-envoy-peer-metadata", "x-envoy-peer-metadata-id"]);
    server.filter?.decodeHeaders?.(request, true);
    expect(request.names).toEqual([]);
    expect(server.info.filterState?.get(DOWNSTREAM_PEER)).toMatchObject({
      name: "client",
      namespace: "ns",
      workloadName: "client-w",
      labels: { app: "client" },
    });
    expect(server.info.filterState?.get(DOWNSTREAM_PEER)).not.toHaveProperty("labels.secret");
    const response = HeaderMap.of({ ":status": "200" });
    server.filter?.encodeHeaders?.(response, true);
    client.filter?.encodeHeaders?.(response, true);
    expect(response.names).toEqual([]);
    expect(client.info.filterState?.get(UPSTREAM_PEER)).toMatchObject({ name: "server" });
  });

  test("who did not introduce itself is told nothing", () => {
    const { filter } = filterOf(SERVER, "server");
    filter?.decodeHeaders?.(HeaderMap.of({ ":path": "/" }), true);
    const response = HeaderMap.of({ ":status": "200" });
    filter?.encodeHeaders?.(response, true);
    expect(response.names).toEqual([]);
  });

  test("skip_external_clusters keeps it from clusters outside the mesh", () => {
    const { filter } = filterOf(
      { upstream_propagation: [{ istio_headers: { skip_external_clusters: true } }] },
      "client",
      true,
    );
    const request = HeaderMap.of({ ":path": "/" });
    filter?.decodeHeaders?.(request, true);
    expect(request.names).toEqual([]);
  });

  test("metadata that can't be read are taken off and count as unknown", () => {
    const { filter, info } = filterOf(SERVER, "server");
    const request = HeaderMap.of({ ":path": "/", "x-envoy-peer-metadata": "////" });
    filter?.decodeHeaders?.(request, true);
    expect(request.names).toEqual([]);
    expect(info.filterState?.get(DOWNSTREAM_PEER)).toBeUndefined();
  });

  test("discovery by baggage is refused by name", () => {
    expect(parse({ downstream_discovery: [{ baggage: {} }] }).problems).toMatchObject([
      { code: "unsupported-field", path: "downstream_discovery[0].baggage" },
    ]);
  });
});
