/** The certificates of a peer, as Node has them after a handshake. */
import type tls from "node:tls";
import { type Certificate, parseCertificate } from "#certs/certificate.ts";

const LONGEST_CHAIN = 10;

/** What the peer of a finished handshake showed, leaf first; empty where it can't be read. */
export function peerChain(socket: tls.TLSSocket): readonly Certificate[] {
  const chain: Certificate[] = [];
  let current: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  try {
    while (current?.raw !== undefined && chain.length < LONGEST_CHAIN) {
      const certificate = parseCertificate(current.raw, "peer certificate");
      if (chain.some(({ sha256 }) => sha256 === certificate.sha256)) break;
      chain.push(certificate);
      current = current.issuerCertificate;
    }
  } catch {
    return [];
  }
  return chain;
}
