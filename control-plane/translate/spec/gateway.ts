/** networking.istio.io Gateway, the fields that translation reads. */
import type { Labels } from "../labels.ts";

export interface GatewaySpec {
  readonly selector?: Labels;
  readonly servers?: readonly ServerSpec[];
}

export interface ServerSpec {
  readonly name?: string;
  readonly port?: { readonly number?: number; readonly name?: string; readonly protocol?: string };
  readonly bind?: string;
  /** `host`, `namespace/host`, `./host`, `*` + `/host`. */
  readonly hosts?: readonly string[];
  readonly tls?: ServerTls;
}

export type ServerTlsMode =
  | "PASSTHROUGH"
  | "SIMPLE"
  | "MUTUAL"
  | "AUTO_PASSTHROUGH"
  | "ISTIO_MUTUAL"
  | "OPTIONAL_MUTUAL";

export type ServerTlsProtocol = "TLS_AUTO" | "TLSV1_0" | "TLSV1_1" | "TLSV1_2" | "TLSV1_3";

export interface CertificateFiles {
  readonly serverCertificate?: string;
  readonly privateKey?: string;
  readonly caCertificates?: string;
}

export interface ServerTls extends CertificateFiles {
  readonly httpsRedirect?: boolean;
  /** Absent: PASSTHROUGH. */
  readonly mode?: ServerTlsMode;
  readonly caCrl?: string;
  readonly credentialName?: string;
  readonly credentialNames?: readonly string[];
  readonly caCertCredentialName?: string;
  readonly tlsCertificates?: readonly CertificateFiles[];
  readonly subjectAltNames?: readonly string[];
  readonly verifyCertificateSpki?: readonly string[];
  readonly verifyCertificateHash?: readonly string[];
  readonly minProtocolVersion?: ServerTlsProtocol;
  readonly maxProtocolVersion?: ServerTlsProtocol;
  readonly cipherSuites?: readonly string[];
}
