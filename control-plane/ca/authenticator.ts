/** Who calls? An open list of ways to prove an identity: tokens, client certificates; a cluster's TokenReview is one more entry. */
import type { Metadata } from "@grpc/grpc-js";
import type { SpiffeId } from "#certs/spiffe-id.ts";

/** What a call brings to prove who makes it. */
export interface Credentials {
  /** The token of `authorization: Bearer …`. */
  readonly bearerToken?: string | undefined;
  /** DER of the client certificate, only if TLS verified its chain against our trust bundle. */
  readonly clientCertificate?: Uint8Array | undefined;
}

export type AuthenticationResult =
  | { readonly kind: "authenticated"; readonly identity: SpiffeId; readonly by: string }
  /** The proof is there and no good: `reason` names what is wrong with it and the way out. */
  | { readonly kind: "refused"; readonly reason: string }
  /** There is nothing here that this authenticator could judge. */
  | { readonly kind: "absent" };

export interface Authenticator {
  /** For logs and refusals: `client certificate`, `token`. */
  readonly name: string;
  authenticate(credentials: Credentials): Promise<AuthenticationResult>;
}

/** The first authenticator that accepts decides; otherwise every refusal is told. */
export async function authenticate(
  authenticators: readonly Authenticator[],
  credentials: Credentials,
): Promise<Exclude<AuthenticationResult, { kind: "absent" }>> {
  const reasons: string[] = [];
  for (const authenticator of authenticators) {
    // One after the other on purpose: the order is the precedence.
    // oxlint-disable-next-line no-await-in-loop
    const result = await authenticator.authenticate(credentials);
    if (result.kind === "authenticated") return result;
    if (result.kind === "refused") reasons.push(`${authenticator.name}: ${result.reason}`);
  }
  if (reasons.length > 0) return { kind: "refused", reason: reasons.join("; ") };
  return {
    kind: "refused",
    reason:
      'the call brings no proof of identity. Send the metadata "authorization: Bearer <service account token>", or connect with a client certificate of this mesh.',
  };
}

/** The part of a grpc-js server call that identities are read from; unary and streaming calls have it. */
export interface AuthenticatedCall {
  readonly metadata: Metadata;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } };
}

/** The credentials of a gRPC call. grpc-js gives the certificate of a peer only where TLS accepted its chain. */
export function credentialsOf(call: AuthenticatedCall): Credentials {
  const [header] = call.metadata.get("authorization");
  const match = typeof header === "string" ? /^Bearer +(\S+)$/i.exec(header.trim()) : null;
  return { bearerToken: match?.[1], clientCertificate: call.getAuthContext().sslPeerCertificate?.raw };
}
