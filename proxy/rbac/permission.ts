/** `envoy.config.rbac.v3.Permission` → a test of what is asked for. */
import type { Permission, Permission_Set } from "#protos/gen/envoy/config/rbac/v3/rbac_pb.js";
import type { Int32Range } from "#protos/gen/envoy/type/v3/range_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { parseHeaderMatcher } from "../router/header-matcher.ts";
import type { RegexCache } from "../router/regex.ts";
import { parsePathTemplate } from "../router/route-match.ts";
import { parseStringMatcher } from "../router/string-matcher.ts";
import type { StreamInfo } from "../stream-info.ts";
import {
  allOf,
  always,
  anyOf,
  complete,
  type Condition,
  negated,
  parseIpCondition,
  parseMetadataCondition,
  parsePathCondition,
  parseSourcedMetadata,
} from "./condition.ts";

/** Undefined when it has problems, which are on the reader's list. */
export function parsePermission(reader: MessageReader<Permission>, regexes: RegexCache): Condition | undefined {
  const rule = reader.get("rule");
  reader.finish();
  switch (rule.case) {
    case "any":
      if (!rule.value) reader.invalid("rule", "`any` can only be true");
      return rule.value ? always : undefined;
    case "andRules":
      return together(parseSet(reader.oneof("rule", rule.value), regexes), allOf);
    case "orRules":
      return together(parseSet(reader.oneof("rule", rule.value), regexes), anyOf);
    case "notRule":
      return negated(parsePermission(reader.oneof("rule", rule.value), regexes));
    case "header":
      return parseHeaderMatcher(reader.oneof("rule", rule.value), regexes);
    case "urlPath":
      return parsePathCondition(reader.oneof("rule", rule.value), regexes);
    case "uriTemplate": {
      const template = parsePathTemplate(reader.oneof("rule", rule.value));
      return template === undefined ? undefined : ({ path }) => path !== "" && template.matches(path);
    }
    case "destinationIp":
      return parseIpCondition(reader.oneof("rule", rule.value), localIp);
    case "destinationPort": {
      const port = rule.value;
      if (port > 65_535) reader.invalid("rule", `${port} is no port`);
      return (_headers, info) => localPort(info) === port;
    }
    case "destinationPortRange":
      return parsePortRange(reader.oneof("rule", rule.value));
    case "requestedServerName": {
      const test = parseStringMatcher(reader.oneof("rule", rule.value), regexes);
      return test === undefined ? undefined : (_headers, info) => test(info.requestedServerName);
    }
    case "metadata":
      return parseMetadataCondition(reader.oneof("rule", rule.value), regexes);
    case "sourcedMetadata":
      return parseSourcedMetadata(reader.oneof("rule", rule.value), regexes);
    case "matcher":
      reader.unsupported("rule", `the matcher extension ${rule.value.name} is not supported by this proxy`);
      return undefined;
    case undefined:
      reader.invalid("rule", "a permission needs a rule");
      return undefined;
  }
}

function parseSet(reader: MessageReader<Permission_Set>, regexes: RegexCache): readonly Condition[] | undefined {
  const rules = reader.children("rules");
  reader.finish();
  if (rules.length === 0) {
    reader.invalid("rules", "a set needs at least one rule");
    return undefined;
  }
  return complete(rules.map((rule) => parsePermission(rule, regexes)));
}

function together(
  conditions: readonly Condition[] | undefined,
  join: (conditions: readonly Condition[]) => Condition,
): Condition | undefined {
  return conditions === undefined ? undefined : join(conditions);
}

/** From `start` up to, but not including, `end`. */
function parsePortRange(reader: MessageReader<Int32Range>): Condition | undefined {
  const start = reader.get("start");
  const end = reader.get("end");
  reader.finish();
  if (start < 0 || end > 65_536 || start >= end) {
    reader.invalid("end", `${start} to ${end} is no range of ports (0 to 65536, the end excluded)`);
    return undefined;
  }
  return (_headers, info) => {
    const port = localPort(info);
    return port !== undefined && port >= start && port < end;
  };
}

/** Where the client meant to go: restored where it was redirected. */
function localIp(info: StreamInfo): string | undefined {
  const address = info.downstreamLocalAddress ?? info.connection?.localAddress;
  return address?.kind === "ip" ? address.address : undefined;
}

function localPort(info: StreamInfo): number | undefined {
  const address = info.downstreamLocalAddress ?? info.connection?.localAddress;
  return address?.kind === "ip" ? address.port : undefined;
}
