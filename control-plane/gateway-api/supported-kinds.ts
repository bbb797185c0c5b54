/** Which kinds of routes a listener takes. */
import { GATEWAY_API, type RouteKind } from "./names.ts";
import type { Listener } from "./read-gateway.ts";

export interface SupportedKinds {
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
  /** All kinds that the listener allows are ones that its protocol can carry. */
  readonly areValid: boolean;
}

export function supportedKinds(listener: Listener): SupportedKinds {
  const able = carried(listener).map((kind) => ({ group: GATEWAY_API, kind }));
  const { allowedKinds } = listener;
  if (allowedKinds.length === 0) return { kinds: able, areValid: true };
  const kinds = able.filter((own) =>
    allowedKinds.some(({ group = GATEWAY_API, kind }) => group === own.group && kind === own.kind),
  );
  return { kinds, areValid: kinds.length === allowedKinds.length };
}

function carried({ protocol, tls }: Listener): readonly RouteKind[] {
  switch (protocol) {
    case "HTTP":
    case "HTTPS":
      return ["HTTPRoute", "GRPCRoute"];
    case "TLS":
      return tls?.mode === "Terminate" ? ["TLSRoute", "TCPRoute"] : ["TLSRoute"];
    case "TCP":
      return ["TCPRoute"];
    default:
      return [];
  }
}
