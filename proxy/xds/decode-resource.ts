/** One resource of a response → a message that the proxy may read, or the reasons against it. */
import type { Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { durationMs } from "../config-values.ts";
import type { Problem } from "#lib/problem.ts";
import { openAny } from "#protos/any.ts";
import type { Resource } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import { checkMessage } from "#protos/check-message.ts";
import { TypeUrl } from "./types.ts";

/** What a response says of one resource. */
export interface ReceivedResource {
  /** Empty when it can't be told. */
  readonly name: string;
  readonly version: string;
  /** Undefined: a heartbeat, an alias without a resource, or something unreadable. */
  readonly message: Message | undefined;
  /** The serialized form: equal bytes are an equal resource. */
  readonly bytes: Uint8Array | undefined;
  readonly ttlMs: number | undefined;
  readonly aliases: readonly string[];
  readonly problems: readonly Problem[];
}

const resourceTypeUrl = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/** Delta: the wrapper tells name, version and TTL. */
export function receivedFromResource(wrapper: Resource, typeUrl: string): ReceivedResource {
  const { name, version, aliases, resource } = wrapper;
  const ttlMs = durationMs(wrapper.ttl);
  if (resource === undefined) {
    return { name, version, message: undefined, bytes: undefined, ttlMs, aliases, problems: [] };
  }
  const { message, problems } = decode(resource, typeUrl);
  const own = message === undefined ? name : resourceName(message);
  const mismatch = name !== own && own !== "" ? [mismatchProblem(typeUrl, name, own)] : [];
  return { name, version, message, bytes: resource.value, ttlMs, aliases, problems: [...problems, ...mismatch] };
}

/** State of the world: the resource itself, or a wrapper around it. */
export function receivedFromAny(any: Any, typeUrl: string, version: string): ReceivedResource {
  if (any.typeUrl === resourceTypeUrl && typeUrl !== resourceTypeUrl) {
    const { value, problems } = openAny(any, "");
    if (value === undefined) return unreadable(version, problems);
    return { ...receivedFromResource(value as Resource, typeUrl), version };
  }
  const { message, problems } = decode(any, typeUrl);
  const name = message === undefined ? "" : resourceName(message);
  return { name, version, message, bytes: any.value, ttlMs: undefined, aliases: [], problems };
}

function unreadable(version: string, problems: readonly Problem[]): ReceivedResource {
  return { name: "", version, message: undefined, bytes: undefined, ttlMs: undefined, aliases: [], problems };
}

function decode(
  any: Any,
  typeUrl: string,
): { readonly message: Message | undefined; readonly problems: readonly Problem[] } {
  if (any.typeUrl !== typeUrl) {
    const message = `type URL ${any.typeUrl} embedded in an individual Any does not match the message-wide type URL ${typeUrl}`;
    return { message: undefined, problems: [{ code: "type-mismatch", level: "error", path: "", message }] };
  }
  const { value, problems } = openAny(any, "");
  if (value === undefined) return { message: undefined, problems };
  return { message: value, problems: checkMessage(value) };
}

/** `name`, or `cluster_name` of an assignment; empty for types without a name. */
export function resourceName(message: Message): string {
  const { name, clusterName } = message as { readonly name?: unknown; readonly clusterName?: unknown };
  if (typeof clusterName === "string") return clusterName;
  return typeof name === "string" ? name : "";
}

const kinds: Readonly<Record<string, string>> = {
  [TypeUrl.endpoint]: "EDS cluster",
  [TypeUrl.route]: "RDS configuration",
  [TypeUrl.secret]: "SDS secret",
  [TypeUrl.extensionConfig]: "ECDS extension configuration",
};

function mismatchProblem(typeUrl: string, expected: string, found: string): Problem {
  const message = `Unexpected ${kinds[typeUrl] ?? "resource"} (expecting ${expected}): ${found}`;
  return { code: "invalid-value", level: "error", path: "", message };
}
