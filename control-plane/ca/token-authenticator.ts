/** Authenticates by a service account token: a JWT whose issuer's keys we have. */
import { createLocalJWKSet, decodeJwt, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from "jose";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { MeshError } from "#lib/problem.ts";
import type { Clock } from "#lib/runtime.ts";
import type { AuthenticationResult, Authenticator } from "./authenticator.ts";

export interface TokenIssuerKeys {
  /** `iss` of its tokens. */
  readonly issuer: string;
  /** Its public keys; asked at every call, so that a changed file counts. */
  readonly keys: () => JSONWebKeySet;
  /** Of an issuer elsewhere: gets its newest keys; false: there is nothing new. */
  fetchNow?(): Promise<boolean>;
  /** Why its keys can't be had. */
  readonly failure?: (() => string | undefined) | undefined;
}

export interface TokenAuthenticatorOptions {
  readonly clock: Clock;
  readonly trustDomain: string;
  readonly issuers: readonly TokenIssuerKeys[];
  /** A token must be meant for one of these; Istio's is `istio-ca`. */
  readonly audiences: readonly string[];
}

/** Signatures by public keys only: a shared secret in a key set would let every verifier issue. */
const ALGORITHMS = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"];
const CLOCK_TOLERANCE_SECONDS = 10;
const WAY_OUT = "mount a fresh token of the workload's service account";

/** Accepts tokens as Kubernetes makes them: `sub` is `system:serviceaccount:<namespace>:<name>`. */
export function tokenAuthenticator(options: TokenAuthenticatorOptions): Authenticator {
  return {
    name: "token",
    authenticate: async ({ bearerToken }) =>
      bearerToken === undefined ? { kind: "absent" } : verifyToken(bearerToken, options),
  };
}

async function verifyToken(token: string, options: TokenAuthenticatorOptions): Promise<AuthenticationResult> {
  const { clock, issuers, audiences, trustDomain } = options;
  const now = new Date(clock.now());
  let claims: JWTPayload;
  try {
    claims = decodeJwt(token);
  } catch {
    return refused(`it is no JWT; ${WAY_OUT}`);
  }
  const issuer = issuers.find((candidate) => candidate.issuer === claims.iss);
  if (issuer === undefined) {
    const known = issuers.map((candidate) => JSON.stringify(candidate.issuer)).join(", ");
    return refused(`unknown issuer ${JSON.stringify(claims.iss)}; this CA takes tokens of ${known}`);
  }
  const verify = (): ReturnType<typeof jwtVerify> =>
    jwtVerify(token, createLocalJWKSet(issuer.keys()), {
      issuer: issuer.issuer,
      audience: [...audiences],
      algorithms: ALGORITHMS,
      currentDate: now,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      requiredClaims: ["exp", "sub"],
    });
  try {
    const verified = await verify().catch(async (error: unknown) => {
      // A key that we do not know yet may be a new one.
      const isNew = error instanceof errors.JWKSNoMatchingKey && (await issuer.fetchNow?.()) === true;
      if (isNew) return await verify();
      throw error;
    });
    return identityOf(verified.payload, trustDomain);
  } catch (error) {
    const failure = issuer.failure?.();
    const reason = reasonOf(error, claims, audiences, now);
    return refused(failure === undefined ? reason : `${reason} (its newest keys can't be had: ${failure})`);
  }
}

function identityOf(claims: JWTPayload, trustDomain: string): AuthenticationResult {
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(claims.sub ?? "");
  const [, namespace, serviceAccount] = match ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    return refused(`its subject ${JSON.stringify(claims.sub)} is not "system:serviceaccount:<namespace>:<name>"`);
  }
  const bound = boundNames(claims["kubernetes.io"]);
  if (bound !== undefined && (bound.namespace !== namespace || bound.serviceAccount !== serviceAccount)) {
    return refused(
      `its subject ${JSON.stringify(claims.sub)} and its "kubernetes.io" claim name different service accounts`,
    );
  }
  try {
    return { kind: "authenticated", identity: istioSpiffeId({ trustDomain, namespace, serviceAccount }), by: "token" };
  } catch (error) {
    if (error instanceof MeshError) return refused(error.message);
    throw error;
  }
}

/** Namespace and service account that the `kubernetes.io` claim repeats. */
function boundNames(claim: unknown): { readonly namespace: unknown; readonly serviceAccount: unknown } | undefined {
  if (typeof claim !== "object" || claim === null) return undefined;
  const account: unknown = "serviceaccount" in claim ? claim.serviceaccount : undefined;
  return {
    namespace: "namespace" in claim ? claim.namespace : undefined,
    serviceAccount: typeof account === "object" && account !== null && "name" in account ? account.name : undefined,
  };
}

function reasonOf(error: unknown, claims: JWTPayload, audiences: readonly string[], now: Date): string {
  if (error instanceof errors.JWTExpired) {
    const end = claims.exp === undefined ? "" : ` at ${new Date(claims.exp * 1000).toISOString()}`;
    return `it expired${end}, now is ${now.toISOString()}; ${WAY_OUT}`;
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "aud") {
      const wanted = audiences.map((audience) => JSON.stringify(audience)).join(" or ");
      return `wrong audience: it is for ${JSON.stringify(claims.aud)}, this CA wants ${wanted}; request the token with that audience`;
    }
    if (error.claim === "nbf") {
      return `it is not valid yet (nbf ${String(claims.nbf)}); compare the clocks of its issuer and of the CA`;
    }
    return `its claim ${JSON.stringify(error.claim)} is missing or wrong; ${WAY_OUT}`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return `bad signature: it was not made by a key of ${JSON.stringify(claims.iss)}; ${WAY_OUT}`;
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return `bad signature: no key of ${JSON.stringify(claims.iss)} is the one it was signed with; ${WAY_OUT}`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "its signature algorithm is not allowed; use ES256 or RS256";
  return `it cannot be verified (${error instanceof Error ? error.message : String(error)}); ${WAY_OUT}`;
}

function refused(reason: string): AuthenticationResult {
  return { kind: "refused", reason };
}
