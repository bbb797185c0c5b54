/** Who asks: `from.source` and the conditions about it → principals of Envoy's RBAC (rules 68, 69, 70, 72, 73, 80). */
import type { MeshConfig } from "../model/mesh-config.ts";
import {
  cidrRange,
  claimMatcher,
  headerMatcher,
  inlineHeaderMatcher,
  jwtMetadata,
  namesInBrackets,
  quoted,
  quotedWith,
  regex,
  textMatcher,
} from "./authorization-matchers.ts";
import { eachOf, type Term, term, type TermKind, togetherOf } from "./authorization-terms.ts";
import type { JsonObject } from "./json.ts";
import type { AuthorizationCondition, AuthorizationSource } from "./spec/authorization-policy.ts";
import { inAllTrustDomains, withAliases } from "./trust-domains.ts";

/** Where a policy stands: its namespace completes short names. */
export interface PolicyContext {
  readonly meshConfig: MeshConfig;
  readonly namespace: string;
}

export function sourceTerms(context: PolicyContext, source: AuthorizationSource): readonly Term[] {
  return [
    term(principals(context), source.principals, source.notPrincipals),
    term(requestPrincipals, source.requestPrincipals, source.notRequestPrincipals),
    term(eachOf(namespace), source.namespaces, source.notNamespaces),
    term(eachOf(serviceAccount(context)), source.serviceAccounts, source.notServiceAccounts),
    term(trustDomains(context), source.trustDomains, source.notTrustDomains),
    term(eachOf(remoteIp), source.remoteIpBlocks, source.notRemoteIpBlocks),
    term(eachOf(directRemoteIp), source.ipBlocks, source.notIpBlocks),
  ].filter((one) => one !== undefined);
}

/** Undefined for a condition that is about something else. */
export function principalCondition(
  context: PolicyContext,
  { key, values, notValues }: AuthorizationCondition,
): Term | undefined {
  const [name = "", ...more] = namesInBrackets(key);
  switch (key.replace(/\[.*/s, "")) {
    case "source.ip":
      return term(eachOf(directRemoteIp), values, notValues);
    case "remote.ip":
      return term(eachOf(remoteIp), values, notValues);
    case "source.namespace":
      return term(eachOf(namespace), values, notValues);
    case "source.serviceAccount":
      return term(eachOf(serviceAccount(context)), values, notValues);
    case "source.principal":
      return term(principals(context), values, notValues);
    case "source.trustDomain":
      return term(trustDomains(context), values, notValues);
    case "request.auth.principal":
      return term(requestPrincipals, values, notValues);
    case "request.auth.audiences":
      return term(claim(["aud"]), values, notValues);
    case "request.auth.presenter":
      return term(claim(["azp"]), values, notValues);
    case "request.auth.claims":
      return term(claim([name, ...more]), values, notValues);
    case "request.headers":
      return term(
        eachOf((value) => ({ header: headerMatcher(name, value) }), { isHttp: true }),
        values,
        notValues,
      );
    case "request.experimental.inline.headers":
      return term(
        eachOf((value) => ({ header: inlineHeaderMatcher(name, value) }), { isHttp: true }),
        values,
        notValues,
      );
    default:
      return undefined;
  }
}

function authenticated(principalName: JsonObject): JsonObject {
  return { authenticated: { principalName } };
}

/** Without `spiffe://`, as they are written in policies; `*` is anybody who has a certificate. */
function principals({ meshConfig }: PolicyContext): TermKind {
  const one = (value: string): JsonObject => {
    if (value === "*") return authenticated(regex(".+"));
    if (value.startsWith("*")) return authenticated(regex(`spiffe://.*${quoted(value.slice(1))}`));
    return authenticated(textMatcher(`spiffe://${value}`));
  };
  return eachOf(one, { expand: (values) => inAllTrustDomains(meshConfig, values) });
}

function namespace(value: string): JsonObject {
  return authenticated(regex(`.*/ns/${quotedWith(value, ".*")}/.*`));
}

/** `name` in the policy's namespace, or `namespace/name`. */
function serviceAccount(context: PolicyContext): (value: string) => JsonObject {
  return (value) => {
    const [first = "", second] = value.split("/", 2);
    const [owner, name] = second === undefined ? [context.namespace, first] : [first, second];
    return authenticated(regex(`spiffe://.+/ns/${quoted(owner)}/(.+/|)sa/${quoted(name)}(/.+)?`));
  };
}

function trustDomains({ meshConfig }: PolicyContext): TermKind {
  const one = (value: string): JsonObject => {
    if (value === "*") return authenticated({ prefix: "spiffe://" });
    if (value.includes("*")) return authenticated(regex(`spiffe://${quotedWith(value, "[^/]*")}/.*`));
    return authenticated({ prefix: `spiffe://${value}/` });
  };
  return eachOf(one, { expand: (values) => withAliases(meshConfig, values) });
}

/** The other end of the connection. */
function directRemoteIp(value: string): JsonObject | undefined {
  const range = cidrRange(value);
  return range && { directRemoteIp: range };
}

/** The client as x-forwarded-for or the PROXY protocol names it. */
function remoteIp(value: string): JsonObject | undefined {
  const range = cidrRange(value);
  return range && { remoteIp: range };
}

function claim(path: readonly string[]): TermKind {
  return togetherOf((values) => claimMatcher(path, values), { isHttp: true });
}

const requestPrincipals: TermKind = togetherOf(
  (values) => {
    const ids = values.map(requestPrincipal);
    return ids.length === 1 && ids[0] !== undefined ? ids[0] : { orIds: { ids } };
  },
  { isHttp: true },
);

/** Issuer and subject, parted at the last `/` (an issuer is a URL). */
function requestPrincipal(value: string): JsonObject {
  const slash = value.lastIndexOf("/");
  const [issuer, subject] = slash < 0 ? [value, undefined] : [value.slice(0, slash), value.slice(slash + 1)];
  const anything = regex(".+");
  const both = (iss: JsonObject, sub: JsonObject): JsonObject => ({
    andIds: { ids: [jwtMetadata(["iss"], { stringMatch: iss }), jwtMetadata(["sub"], { stringMatch: sub })] },
  });
  if (value === "*") return both(anything, anything);
  if (value.startsWith("*")) {
    if (subject === undefined) return both(anything, { suffix: value.slice(1) });
    return both(issuer === "*" ? anything : { suffix: issuer.slice(1) }, { exact: subject });
  }
  if (value.endsWith("*")) {
    if (subject === undefined) return both({ prefix: value.slice(0, -1) }, anything);
    return both({ exact: issuer }, subject === "*" ? anything : { prefix: subject.slice(0, -1) });
  }
  return both({ exact: issuer }, { exact: subject ?? "" });
}
