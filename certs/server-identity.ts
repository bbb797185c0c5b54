/** Whether a server's certificate is for the address that was dialled. */
import { parseCertificate } from "./certificate.ts";
import { addressBytes, addressText } from "./ip-address.ts";

/** An error when none of the certificate's IP names is this address; the chain is checked elsewhere. */
export function checkServerAddress(address: string, certificate: Uint8Array): Error | undefined {
  const { subjectAltName } = parseCertificate(certificate, "server certificate");
  const wanted = addressText(addressBytes(address));
  const found = subjectAltName?.ipAddresses ?? [];
  if (found.includes(wanted)) return undefined;
  const names = [...found, ...(subjectAltName?.dnsNames ?? [])].join(", ");
  return new Error(`the certificate of the server at ${address} is for other names: ${names === "" ? "none" : names}`);
}
