/** Reading a bootstrap as Envoy does: a file, YAML from the command line merged over it, overrides of the node. */
import { merge } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Bootstrap } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { Locality, Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { checkMessage } from "#protos/check-message.ts";
import { messageFromJson } from "#protos/json.ts";
import { createMessage, schema } from "#protos/registry.ts";
import { parseEnvoyYaml, type EnvoyYaml } from "./envoy-yaml.ts";
import type { BootstrapModel } from "./model.ts";
import { parseBootstrap } from "./parse-bootstrap.ts";

export interface BootstrapOverrides {
  /** Name of the file that the text comes from, for messages. */
  readonly file?: string | undefined;
  /** `--config-yaml`: merged over the file; lists are appended. */
  readonly configYaml?: string | undefined;
  /** `--service-cluster`: replaces the node's. */
  readonly serviceCluster?: string | undefined;
  /** `--service-node`: replaces the node's id. */
  readonly serviceNode?: string | undefined;
  /** `--service-zone`: replaces the zone of the node's locality. */
  readonly serviceZone?: string | undefined;
}

const typeName = "envoy.config.bootstrap.v3.Bootstrap";

/**
 * Reads a bootstrap in YAML or JSON. Unknown keys, broken `(validate.rules)`, and fields that this proxy does not
 * implement are problems, with file, line and column; warnings may stand beside a model.
 */
export function loadBootstrap(text: string | undefined, overrides: BootstrapOverrides = {}): Parsed<BootstrapModel> {
  const problems: Problem[] = [];
  const message = createMessage<Bootstrap>(typeName);
  const parts: EnvoyYaml[] = [];
  for (const [source, file] of [
    [text, overrides.file ?? "bootstrap"],
    [overrides.configYaml, "--config-yaml"],
  ] as const) {
    if (source === undefined || (source === "" && file === "--config-yaml")) continue;
    const part = readPart(source, file, problems, parts);
    if (part !== undefined) merge(schema<Bootstrap>(typeName), message, part);
  }
  if (problems.length > 0) return { problems };
  applyOverrides(message, overrides);
  const checked = checkMessage(message);
  if (checked.length > 0) return { problems: located(checked, parts) };
  const found: Problem[] = [];
  const value = parseBootstrap(message, found);
  return { value, problems: located(found, parts) };
}

function readPart(text: string, file: string, problems: Problem[], parts: EnvoyYaml[]): Bootstrap | undefined {
  const yaml = parseEnvoyYaml(text, file);
  problems.push(...yaml.problems);
  if (yaml.value === undefined) return undefined;
  parts.push(yaml.value);
  const message = messageFromJson(typeName, yaml.value.json);
  problems.push(...located(message.problems, [yaml.value]));
  return message.value as Bootstrap | undefined;
}

/** Adds the place in the file. Lists of the second part count on from those of the first: its places are not known. */
function located(problems: readonly Problem[], [part]: readonly EnvoyYaml[]): Problem[] {
  return problems.map((problem) => ({ ...problem, source: problem.source ?? part?.locate(problem.path) }));
}

function applyOverrides(message: Bootstrap, { serviceNode, serviceCluster, serviceZone }: BootstrapOverrides): void {
  if (serviceNode === undefined && serviceCluster === undefined && serviceZone === undefined) return;
  message.node ??= createMessage<Node>("envoy.config.core.v3.Node");
  if (serviceNode !== undefined) message.node.id = serviceNode;
  if (serviceCluster !== undefined) message.node.cluster = serviceCluster;
  if (serviceZone === undefined) return;
  message.node.locality ??= createMessage<Locality>("envoy.config.core.v3.Locality");
  message.node.locality.zone = serviceZone;
}
