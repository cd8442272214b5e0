/* Return the texts of a page whose contrast, as WCAG 2.2 defines it, is below a limit, with that contrast. */
(limit) => {
  const parts = (color) => {
    const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number)
    return [red, green, blue, alpha]
  }
  const over = ([red, green, blue, alpha], below) =>
    [red, green, blue].map((value, i) => value * alpha + below[i] * (1 - alpha))
  const linear = (value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4)
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
  const around = (element) => {
    const found = []
    for (; element; element = element.parentElement) found.push(element)
    return found
  }
  const contrast = (element) => {
    const layers = around(element)
    const behind = layers.map((layer) => parts(getComputedStyle(layer).backgroundColor))
    const background = behind.reduceRight((below, color) => over(color, below), [255, 255, 255])
    const [red, green, blue, alpha] = parts(getComputedStyle(element).color)
    const opacity = layers.reduce((product, layer) => product * getComputedStyle(layer).opacity, alpha)
    const ends = [luminance(over([red, green, blue, opacity], background)), luminance(background)]
    return (Math.max(...ends) + 0.05) / (Math.min(...ends) + 0.05)
  }
  const found = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    const shown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    if (!texts.currentNode.data.trim() || !shown) continue
    const value = contrast(element)
    if (value < limit) found.push([texts.currentNode.data.trim(), value])
  }
  return found
}
