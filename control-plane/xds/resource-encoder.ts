/** proto3 JSON of a translated resource → what goes on the wire, made once for each content and shared by all proxies. */
import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { formatProblem, type Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { descOf } from "#protos/registry.ts";
import type { ResourceJson } from "../translate/types.ts";
import { EDS, type ResourceType } from "./resource-types.ts";
import type { Versioned } from "./subscription.ts";

export interface EncodedResource extends Versioned {
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
  readonly json: ResourceJson;
}

export interface ResourceEncoder {
  /** Undefined, with a problem that names the resource, where the JSON is no message of the type. */
  encode(type: ResourceType, json: ResourceJson, problems: Problem[]): EncodedResource | undefined;
  /** Forgets what has not been used since the last call. */
  sweep(): void;
}

export function createResourceEncoder(): ResourceEncoder {
  // Translation hands out the same JSON object for the same content where it can: then nothing is even hashed.
  let byIdentity = new WeakMap<ResourceJson, EncodedResource>();
  let recent = new Map<string, EncodedResource | readonly Problem[]>();
  let older: ReadonlyMap<string, EncodedResource | readonly Problem[]> = new Map();

  function encodeNow(type: ResourceType, json: ResourceJson, version: string): EncodedResource | readonly Problem[] {
    const name = resourceName(type, json);
    const { value, problems } = messageFromJson(type.typeName, json);
    if (value !== undefined && !problems.some(({ level }) => level === "error")) {
      return { name, version, typeUrl: type.typeUrl, bytes: toBinary(descOf(value), value), json };
    }
    const reasons = problems.map((problem) => formatProblem(problem)).join("; ");
    const message = `the ${type.short} resource that was made is not valid (${reasons}); what the proxy had of it stays.`;
    return [{ code: "internal-translation", level: "error", path: "", message, object: `${type.short} ${name}` }];
  }

  return {
    encode(type, json, problems) {
      const known = byIdentity.get(json);
      if (known !== undefined && known.typeUrl === type.typeUrl) return known;
      const version = createHash("sha256").update(type.typeUrl).update(JSON.stringify(json)).digest("hex").slice(0, 16);
      const found = recent.get(version) ?? older.get(version) ?? encodeNow(type, json, version);
      recent.set(version, found);
      if ("bytes" in found) {
        byIdentity.set(json, found);
        return found;
      }
      problems.push(...found);
      return undefined;
    },
    sweep() {
      older = recent;
      recent = new Map();
      byIdentity = new WeakMap();
    },
  };
}

/** The name under which a resource is asked for. */
export function resourceName(type: ResourceType, json: ResourceJson): string {
  const name = json[type === EDS ? "clusterName" : "name"];
  return typeof name === "string" ? name : "";
}
