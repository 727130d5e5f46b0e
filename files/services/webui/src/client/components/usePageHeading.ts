import { type RefObject, useEffect, useRef } from "react";

/** Whether this document has shown a page before. */
let arrived = false;

/**
 * Names the browser's tab after a page, and returns where its heading belongs. After a navigation the heading has the focus:
 * what had it is gone with the last page, and a screen reader would say nothing.
 */
export function usePageHeading(title: string): RefObject<HTMLHeadingElement | null> {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Tripod`;
  }, [title]);
  useEffect(() => {
    // On the first page the browser itself has put it at the top.
    if (arrived) heading.current?.focus();
    arrived = true;
  }, []);
  return heading;
}
