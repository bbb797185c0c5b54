import { describe, expect, test } from "vitest";
import { configDumpEndpoint, type DumpSection } from "./config-dump.ts";
import type { AdminResponse } from "./endpoint.ts";

const sections: readonly DumpSection[] = [
  {
    type: "BootstrapConfigDump",
    fields: { bootstrap: { node: { id: "n", cluster: "c" } }, last_updated: "t" },
    lists: {},
  },
  {
    type: "ClustersConfigDump",
    fields: { version_info: "v" },
    lists: {
      static_clusters: {
        elementType: "StaticCluster",
        elements: ["one", "two"].map((name) => ({
          name,
          json: { cluster: { "@type": "Cluster", name, connect_timeout: "1s" }, last_updated: "t" },
        })),
      },
      dynamic_active_clusters: { elementType: "DynamicCluster", elements: [] },
    },
  },
];

async function dump(query: string): Promise<AdminResponse & { json: () => { configs: Record<string, unknown>[] } }> {
  const endpoint = configDumpEndpoint(({ includeEds }) =>
    includeEds ? [...sections, { type: "EndpointsConfigDump", fields: {}, lists: {} }] : sections,
  );
  const response = await endpoint.handle({ method: "GET", query: new URLSearchParams(query) });
  return { ...response, json: () => JSON.parse(response.body) as { configs: Record<string, unknown>[] } };
}

describe("/config_dump", () => {
  test("without a query it is every section, lists that are empty left out", async () => {
    const { configs } = (await dump("")).json();
    expect(configs.map((section) => Object.keys(section))).toEqual([
      ["@type", "bootstrap", "last_updated"],
      ["@type", "version_info", "static_clusters"],
    ]);
  });

  test("include_eds adds the endpoints", async () => {
    const { configs } = (await dump("include_eds")).json();
    expect(configs.at(-1)).toEqual({ "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump" });
  });

  test("resource gives the elements of one list, mask their fields", async () => {
    expect((await dump("resource=static_clusters&mask=cluster.name")).json().configs).toEqual([
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster",
        cluster: { "@type": "Cluster", name: "one" },
      },
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster",
        cluster: { "@type": "Cluster", name: "two" },
      },
    ]);
  });

  test("mask alone is applied to every section that has it, through lists too", async () => {
    expect((await dump("mask=bootstrap.node.id,static_clusters.cluster.name")).json().configs).toEqual([
      { "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", bootstrap: { node: { id: "n" } } },
      {
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
        static_clusters: [
          { cluster: { "@type": "Cluster", name: "one" } },
          { cluster: { "@type": "Cluster", name: "two" } },
        ],
      },
    ]);
  });

  test("name_regex has to match a whole name", async () => {
    const { configs } = (await dump("resource=static_clusters&name_regex=t.*")).json();
    expect(configs.map(({ cluster }) => (cluster as { name: string }).name)).toEqual(["two"]);
    expect((await dump("name_regex=wo")).json().configs[1]).not.toHaveProperty("static_clusters");
  });

  test.each([
    ["resource=nope", 404, "nope not found in config dump"],
    ["resource=bootstrap", 400, "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field"],
    ["mask=nope", 400, "FieldMask nope could not be successfully applied to any configs."],
    ["name_regex=(", 400, "INVALID_ARGUMENT: Error while parsing name_regex from (: "],
  ])("%s is refused with %i", async (query, status, body) => {
    const response = await dump(query);
    expect(response.status).toBe(status);
    expect(response.body).toContain(body);
  });
});
