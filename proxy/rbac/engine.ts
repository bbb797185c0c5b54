/** `envoy.config.rbac.v3.RBAC`: policies, and what it means that one matches. */
import type { Policy as PolicyMessage, RBAC } from "#protos/gen/envoy/config/rbac/v3/rbac_pb.js";
import { MessageReader } from "#protos/reader.ts";
import { RegexCache } from "../router/regex.ts";
import { allOf, anyOf, complete, type Condition } from "./condition.ts";
import { parsePermission } from "./permission.ts";
import { parsePrincipal } from "./principal.ts";

/** `log` refuses nothing: it marks what matches for access logs. */
export type RbacAction = "allow" | "deny" | "log";

export interface RbacPolicy {
  readonly name: string;
  readonly matches: Condition;
}

export interface RbacRules {
  readonly action: RbacAction;
  /** By name, which is the order in which Envoy tries them: the first that matches is the one that is named. */
  readonly policies: readonly RbacPolicy[];
}

const ACTIONS: readonly RbacAction[] = ["allow", "deny", "log"];

/** Undefined when something can't be read: then there are problems, and the whole configuration is refused. */
export function parseRbacRules(reader: MessageReader<RBAC>): RbacRules | undefined {
  const regexes = new RegexCache();
  const action = ACTIONS[reader.get("action")];
  const messages = reader.get("policies");
  const at = reader.at("policies");
  reader.finish();
  if (action === undefined) reader.invalid("action", "must be ALLOW, DENY or LOG");
  const policies: RbacPolicy[] = [];
  for (const name of Object.keys(messages).toSorted()) {
    const message = messages[name] as PolicyMessage;
    const before = reader.problems.length;
    const path = `${at}["${name}"]`;
    const matches = parsePolicy(new MessageReader(message, path, reader.problems), regexes);
    if (matches !== undefined) policies.push({ name, matches });
    // Nobody said why it can't be read: it is refused all the same, a policy is never left out.
    else if (reader.problems.length === before)
      reader.problems.push({ code: "invalid-value", level: "error", path, message: "the policy is incomplete" });
  }
  return action === undefined || policies.length < Object.keys(messages).length ? undefined : { action, policies };
}

function parsePolicy(reader: MessageReader<PolicyMessage>, regexes: RegexCache): Condition | undefined {
  const permissions = complete(reader.children("permissions").map((child) => parsePermission(child, regexes)));
  const principals = complete(reader.children("principals").map((child) => parsePrincipal(child, regexes)));
  // `condition` and `checked_condition` are refused here, by name.
  reader.finish();
  if (permissions === undefined || principals === undefined) return undefined;
  if (permissions.length === 0) reader.invalid("permissions", "a policy needs at least one permission");
  if (principals.length === 0) reader.invalid("principals", "a policy needs at least one principal");
  return allOf([anyOf(permissions), anyOf(principals)]);
}
