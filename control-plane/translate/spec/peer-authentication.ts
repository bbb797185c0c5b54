/** security.istio.io PeerAuthentication, the fields that translation reads. */
import type { Labels } from "../labels.ts";

export type WrittenMtlsMode = "UNSET" | "DISABLE" | "PERMISSIVE" | "STRICT";

export interface PeerAuthenticationSpec {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly mtls?: { readonly mode?: WrittenMtlsMode };
  readonly portLevelMtls?: Readonly<Record<string, { readonly mode?: WrittenMtlsMode }>>;
}
