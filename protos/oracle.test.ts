import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { messageFromJson, messageToJson } from "./json.ts";
import { descOf } from "./registry.ts";
import { unknownFields } from "./unknown.ts";
import { validateMessage } from "./validate.ts";

/** What a real istiod sent, in a folder beside the checkout. */
const oracle = join(import.meta.dirname, "..", "..", "shared", "oracle");
const isThere = existsSync(oracle);
if (!isThere) console.info("skipped: there is no oracle folder beside the checkout");

const typeOf: Readonly<Record<string, string>> = {
  node: "envoy.config.core.v3.Node",
  clusters: "envoy.config.cluster.v3.Cluster",
  endpoints: "envoy.config.endpoint.v3.ClusterLoadAssignment",
  listeners: "envoy.config.listener.v3.Listener",
  routes: "envoy.config.route.v3.RouteConfiguration",
  extensionConfigs: "envoy.config.core.v3.TypedExtensionConfig",
  nameTable: "istio.networking.nds.v1.NameTable",
};

function answers(name: string): string[] {
  return readdirSync(join(oracle, name)).filter(
    (file) => file.endsWith(".json") && !["validate.json", "status.json", "analyze.json"].includes(file),
  );
}

const cases = isThere
  ? readdirSync(oracle, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
  : [];

describe.skipIf(!isThere)("everything that istiod sends is known, within the rules, and survives the wire", () => {
  test.each(cases)("%s", (name) => {
    const problems: string[] = [];
    for (const file of answers(name)) {
      const answer = JSON.parse(readFileSync(join(oracle, name, file), "utf8")) as Record<string, unknown>;
      for (const [key, value] of Object.entries(answer)) {
        const typeName = typeOf[key];
        expect(typeName, `a type for ${key}`).toBeDefined();
        for (const json of Array.isArray(value) ? value : [value]) {
          const read = messageFromJson(typeName ?? "", json);
          problems.push(...read.problems.map(({ path, message }) => `${file} ${path} ${message}`));
          if (read.value === undefined) continue;
          const desc = descOf(read.value);
          const again = fromBinary(desc, toBinary(desc, read.value));
          problems.push(
            ...[...unknownFields(again), ...validateMessage(again, "", { throughAny: true })].map(
              ({ path, message }) => `${file} ${path} ${message}`,
            ),
          );
          expect(messageToJson(again)).toEqual(messageToJson(read.value));
        }
      }
    }
    expect(problems).toEqual([]);
  });
});
