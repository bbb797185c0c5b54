/** Which endpoints stand behind a service: compared with a real istiod's answers, in the oracle folder beside the checkout. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "./build-mesh-index.ts";
import { readMeshConfig } from "./read-mesh-config.ts";

const oracle = join(import.meta.dirname, "../../../shared/oracle");

interface Assignment {
  readonly clusterName: string;
  readonly endpoints?: readonly {
    readonly lbEndpoints: readonly {
      readonly endpoint: {
        readonly address: { readonly socketAddress?: { readonly address: string; readonly portValue: number } };
      };
    }[];
  }[];
}

// Several clusters and networks, Gateway API and a health threshold: not the plain list of endpoints.
const beyond = new Set(["multi-network", "dr-outlier", "dr-locality-distribute"]);
const cases = existsSync(oracle)
  ? readdirSync(oracle).filter(
      (name) => existsSync(join(oracle, name, "k8s.yaml")) && !name.startsWith("gwapi-") && !beyond.has(name),
    )
  : [];

describe.skipIf(cases.length === 0)("endpoints against istiod's (skipped where there is no oracle folder)", () => {
  test.each(cases)("%s", (name) => {
    const objects = ["k8s.yaml", "config.yaml"].flatMap((file) => {
      const { objects: found, problems } = parseManifests(readFileSync(join(oracle, name, file), "utf8"), file);
      expect(problems).toEqual([]);
      return found;
    });
    const mesh = buildMeshIndex(objects, readMeshConfig([]).meshConfig);
    const answers = readdirSync(join(oracle, name)).filter((file) => /-\d+\.json$/.test(file));
    for (const file of answers) {
      const { endpoints = [] } = JSON.parse(readFileSync(join(oracle, name, file), "utf8")) as {
        endpoints?: readonly Assignment[];
      };
      for (const { clusterName, endpoints: localities = [] } of endpoints) {
        const [, port = "", subset = "", host = ""] = clusterName.split("|");
        if (subset !== "") continue;
        const theirs = localities.flatMap(({ lbEndpoints }) =>
          lbEndpoints.map(({ endpoint }) => endpoint.address.socketAddress).filter((address) => address !== undefined),
        );
        const ours = mesh
          .servicesByHost(host)
          .flatMap((service) => mesh.instancesOf(service))
          .filter(({ servicePort, port: number }) => servicePort === Number(port) && number > 0);
        const text = (list: readonly string[]): readonly string[] => [...new Set(list)].sort();
        expect(text(ours.map((instance) => `${instance.address}:${instance.port}`)), `${file} ${clusterName}`).toEqual(
          text(theirs.map((address) => `${address.address}:${address.portValue}`)),
        );
      }
    }
  });
});
