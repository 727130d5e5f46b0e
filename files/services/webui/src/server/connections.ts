import type { Socket } from "node:net";
import type { Request } from "express";
import { isVouched } from "./front";
import type { Trust } from "./trust";

/** When each client's connection was accepted (milliseconds of the process's own clock). */
const accepted = new WeakMap<Socket, number>();

export function accept(socket: Socket): void {
  accepted.set(socket, performance.now());
}

/**
 * How long the client has been connected (seconds): to the front or a trusted proxy before this server, where that says so, or to this server.
 *
 * The API needs it of a confirmation, which proves something only over a connection that was made after the change.
 */
export function connectionAge(request: Request): number {
  const here = (performance.now() - (accepted.get(request.socket) ?? performance.now())) / 1_000;
  const trusted = request.app.get("trust proxy fn") as Trust;
  const before = Number(request.get("x-connection-age") ?? 0);
  const believed = isVouched(request) || trusted(request.socket.remoteAddress ?? "");
  return believed && before >= 0 && Number.isFinite(before) ? here + before : here;
}
