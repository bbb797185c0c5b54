/** `JwtAuthentication` and its per-route configuration, read and checked. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type {
  JwtAuthentication,
  JwtProvider as JwtProviderMessage,
  JwtRequirement as JwtRequirementMessage,
  PerRouteConfig,
  RequirementRule,
} from "#protos/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js";
import { MessageReader } from "#protos/reader.ts";
import { RegexCache } from "../../../router/regex.ts";
import { parseRouteMatch, type RouteMatcher } from "../../../router/route-match.ts";
import { type JwtProvider, parseProvider } from "./provider.ts";
import { type JwtRequirement, parseRequirement } from "./requirement.ts";

export interface JwtAuthnConfig {
  readonly providers: ReadonlyMap<string, JwtProvider>;
  /** The first that matches counts. Without a requirement: nothing is asked. */
  readonly rules: readonly { readonly match: RouteMatcher; readonly requirement: JwtRequirement | undefined }[];
  readonly byName: ReadonlyMap<string, JwtRequirement>;
  /** By the value of an object of the filter state, where no rule matches. */
  readonly filterState: { readonly key: string; readonly byValue: ReadonlyMap<string, JwtRequirement> } | undefined;
  readonly bypassesCorsPreflight: boolean;
  readonly stripsFailureResponse: boolean;
  readonly statPrefix: string;
}

/** Undefined: the filter is switched off for the route. */
export interface JwtRouteConfig {
  readonly requirementName: string | undefined;
}

type Providers = ReadonlyMap<string, JwtProvider>;

export function parseJwtAuthn(message: Message, path: string): Parsed<JwtAuthnConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as JwtAuthentication, path, problems);
  const providers = new Map(
    entries<JwtProviderMessage>(reader, "providers").map(([name, one]) => [name, parseProvider(one, name)]),
  );
  const byName = requirements(reader, "requirementMap", providers);
  const rules = reader.children("rules").map((rule) => parseRule(rule, providers, byName));
  const state = reader.child("filterStateRules");
  const value: JwtAuthnConfig = {
    providers,
    rules: rules.filter((rule) => rule !== undefined),
    byName,
    filterState: state && { key: state.get("name"), byValue: requirements(state, "requires", providers) },
    bypassesCorsPreflight: reader.get("bypassCorsPreflight"),
    stripsFailureResponse: reader.get("stripFailureResponse"),
    statPrefix: reader.get("statPrefix"),
  };
  state?.finish();
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

/** Readers for a map of messages. */
function entries<M extends Message>(
  reader: { readonly problems: Problem[]; at(field: never): string; get(field: never): unknown },
  field: string,
): readonly (readonly [string, MessageReader<M>])[] {
  const map = reader.get(field as never) as Readonly<Record<string, M>>;
  const at = reader.at(field as never);
  return Object.entries(map).map(([name, one]) => [name, new MessageReader(one, `${at}["${name}"]`, reader.problems)]);
}

function requirements(
  reader: { readonly problems: Problem[]; at(field: never): string; get(field: never): unknown },
  field: string,
  providers: Providers,
): ReadonlyMap<string, JwtRequirement> {
  const all = entries<JwtRequirementMessage>(reader, field);
  return new Map(all.map(([name, one]) => [name, parseRequirement(one, providers)]));
}

function parseRule(
  reader: MessageReader<RequirementRule>,
  providers: Providers,
  byName: ReadonlyMap<string, JwtRequirement>,
): JwtAuthnConfig["rules"][number] | undefined {
  const matcher = reader.child("match");
  const type = reader.get("requirementType");
  const match = matcher === undefined ? undefined : parseRouteMatch(matcher, new RegexCache());
  if (matcher === undefined) reader.invalid("match", "must be set");
  let requirement: JwtRequirement | undefined;
  if (type.case === "requires") requirement = parseRequirement(reader.oneof("requirementType", type.value), providers);
  if (type.case === "requirementName") {
    requirement = byName.get(type.value);
    if (requirement === undefined) reader.invalid("requirementType", wrongName(type.value, byName));
  }
  reader.finish();
  return match && { match, requirement };
}

/** Envoy's words: they are also the answer to requests of a route that names what is not there. */
export function wrongName(name: string, byName: ReadonlyMap<string, unknown>): string {
  return `Wrong requirement_name: ${name}. It should be one of [${[...byName.keys()].toSorted().join(",")}]`;
}

export function parseJwtRoute(message: Message, path: string): Parsed<JwtRouteConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as PerRouteConfig, path, problems);
  const specifier = reader.get("requirementSpecifier");
  if (specifier.case === undefined) reader.invalid("requirementSpecifier", "one of disabled and requirement_name");
  reader.finish();
  const requirementName = specifier.case === "requirementName" ? specifier.value : undefined;
  return problems.length > 0 ? { problems } : { value: { requirementName }, problems };
}
