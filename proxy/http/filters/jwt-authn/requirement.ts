/** `JwtRequirement`: which tokens a request must have, as a tree that is checked (Envoy's `Verifier`). */
import type { JwtRequirement as JwtRequirementMessage } from "#protos/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import * as Status from "../../../jwt/status.ts";
import type { JwtStatus } from "../../../jwt/status.ts";
import { authenticate, type AuthenticationContext, type Expectation } from "./authenticator.ts";
import { TokenLocations } from "./locations.ts";
import type { KnownProvider } from "./authenticator.ts";
import { type AudienceCheck, audienceCheck, type JwtProvider, unknownProvider } from "./provider.ts";

export type JwtRequirement =
  | { readonly kind: "none" }
  | { readonly kind: "provider"; readonly name: string; readonly audiences: AudienceCheck | undefined }
  | { readonly kind: "any" | "all"; readonly requirements: readonly JwtRequirement[] }
  | { readonly kind: "allow-missing" | "allow-missing-or-failed" };

export function parseRequirement(
  reader: MessageReader<JwtRequirementMessage>,
  providers: ReadonlyMap<string, JwtProvider>,
): JwtRequirement {
  const type = reader.get("requiresType");
  const path = reader.at("requiresType");
  reader.finish();
  const named = (name: string, audiences?: AudienceCheck): JwtRequirement => {
    if (!providers.has(name)) reader.problems.push(unknownProvider(name, path));
    return { kind: "provider", name, audiences };
  };
  switch (type.case) {
    case "providerName":
      return named(type.value);
    case "providerAndAudiences": {
      const inner = reader.oneof("requiresType", type.value);
      const audiences = inner.get("audiences");
      const requirement = named(inner.get("providerName"), audiences.length > 0 ? audienceCheck(audiences) : undefined);
      inner.finish();
      return requirement;
    }
    case "requiresAny":
    case "requiresAll": {
      const inner = reader.oneof("requiresType", type.value);
      const requirements = inner.children("requirements").map((item) => parseRequirement(item, providers));
      inner.finish();
      return { kind: type.case === "requiresAny" ? "any" : "all", requirements };
    }
    case "allowMissing":
      return { kind: "allow-missing" };
    case "allowMissingOrFailed":
      return { kind: "allow-missing-or-failed" };
    case undefined:
      return { kind: "none" };
  }
}

/** Checks a request; calls back once. */
export type Verifier = (context: AuthenticationContext, onDone: (status: JwtStatus) => void) => void;

export function createVerifier(
  requirement: JwtRequirement,
  providers: ReadonlyMap<string, KnownProvider>,
  siblings: readonly string[] = [],
): Verifier {
  switch (requirement.kind) {
    case "none":
      return (_context, onDone) => onDone(Status.OK);
    case "provider":
      return providerVerifier(requirement, providers);
    case "allow-missing":
    case "allow-missing-or-failed": {
      const names = siblings.length > 0 ? siblings : [...providers.keys()];
      const known = names.map((name) => providers.get(name)).filter((one) => one !== undefined);
      const allowsFailed = requirement.kind === "allow-missing-or-failed";
      return locating(
        known.map(({ provider }) => provider),
        { known: undefined, audiences: undefined, allowsFailed, allowsMissing: true },
      );
    }
    case "any":
      return anyVerifier(requirement.requirements, providers);
    case "all":
      return allVerifier(requirement.requirements.map((one) => createVerifier(one, providers)));
  }
}

function providerVerifier(
  { name, audiences }: Extract<JwtRequirement, { kind: "provider" }>,
  providers: ReadonlyMap<string, KnownProvider>,
  allowsMissing = false,
): Verifier {
  const known = providers.get(name);
  if (known === undefined) return (_context, onDone) => onDone(Status.UNKNOWN_ISSUER);
  return locating([known.provider], { known, audiences, allowsFailed: false, allowsMissing });
}

function locating(providers: readonly JwtProvider[], expected: Expectation): Verifier {
  const locations = new TokenLocations(providers);
  return (context, onDone) => {
    locations.sanitize(context.headers);
    authenticate(locations.find(context.headers), expected, context, onDone);
  };
}

/** Of the lenient ones only one counts, the more lenient, and it comes last. */
function anyVerifier(requirements: readonly JwtRequirement[], providers: ReadonlyMap<string, KnownProvider>): Verifier {
  const strict = requirements.filter(({ kind }) => kind !== "allow-missing" && kind !== "allow-missing-or-failed");
  const lenient =
    requirements.find(({ kind }) => kind === "allow-missing-or-failed") ??
    requirements.find(({ kind }) => kind === "allow-missing");
  const [first] = strict;
  if (strict.length === 1 && first?.kind === "provider" && lenient?.kind === "allow-missing")
    return providerVerifier(first, providers, true);
  const named = strict.flatMap((one) => (one.kind === "provider" ? [one.name] : []));
  const verifiers = [
    ...strict.map((one) => createVerifier(one, providers)),
    ...(lenient === undefined ? [] : [createVerifier(lenient, providers, named)]),
  ];
  return (context, onDone) => inTurn(verifiers, (status) => status === Status.OK, context, onDone);
}

function allVerifier(verifiers: readonly Verifier[]): Verifier {
  return (context, onDone) => inTurn(verifiers, (status) => status !== Status.OK, context, onDone);
}

/** Until one settles it; else the last one's word counts. Those that wait for keys don't hold up the others. */
function inTurn(
  verifiers: readonly Verifier[],
  settles: (status: JwtStatus) => boolean,
  context: AuthenticationContext,
  onDone: (status: JwtStatus) => void,
): void {
  let left = verifiers.length;
  let isSettled = false;
  for (const verify of verifiers) {
    if (isSettled) return;
    verify(context, (status) => {
      if (isSettled) return;
      left--;
      if (left > 0 && !settles(status)) return;
      isSettled = true;
      onDone(status);
    });
  }
}
