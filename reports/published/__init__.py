"""What papers print, as data: one CSV file per table, and here what is to be said of each."""

from collections.abc import Mapping

from reports.published.table import PaperTable, Published, read_published

__all__ = ["PAPER_TABLES", "PaperTable", "Published", "read_published"]

ASQ = "ASQ, arXiv:2504.17263"
ASQ_IMAGENET = "90 epochs; other methods as their papers train them"
LOWER_BASELINE = (
    "LSQ* is the ASQ authors' own implementation, from torchvision's float networks. The LSQ paper has 67.6, 70.2 and "
    "71.1 % for a pre-activation ResNet-18 at 2, 3 and 4 bits, from 70.5 %: above ASQ's 67.1, 69.8 and 70.8 %."
)
NO_NUMBER = "Its number within the paper is not in the text at hand: 3 or 4."

PAPER_TABLES: Mapping[str, PaperTable] = {
    "asq-overhead": PaperTable(
        f"Overhead of ASQ's adapters in ResNet-18: Table 1 of {ASQ}",
        "no training",
        (
            "The paper does not print the adapter's construction. The one that the released code has gives all eight "
            "numbers: adapters and steps at 8 bits over all parameters at b bits, two operations per adapter weight at "
            "8 bits over the inner convolutions' MACs at b bits.",
            "The released code runs the adapter in 32-bit floating point, and its pooling is not counted: "
            "`hwsim overhead` has those numbers too.",
        ),
    ),
    "asq-imagenet": PaperTable(
        f"ResNets on ImageNet: Table 2 of {ASQ}",
        ASQ_IMAGENET,
        (
            "The paper's abstract says +1.2 % for a 4-bit ResNet-34. Table 2 has +0.8 (74.1 against 73.3); +1.2 is "
            "that of ResNet-18 (71.0 against 69.8).",
            LOWER_BASELINE,
            "First and last layer: 8 bits in the paper's text, float in its released code; float in LQ-Nets and QIL.",
            "The released POST code has 2^b + 1 levels, one more than b bits can code.",
        ),
    ),
    "asq-mobilenetv2": PaperTable(f"MobileNetV2 on ImageNet: a table of {ASQ}", ASQ_IMAGENET, (NO_NUMBER,)),
    "asq-cifar10": PaperTable(
        f"ResNet-20 on CIFAR-10: a table of {ASQ}",
        "300 epochs",
        (
            NO_NUMBER,
            "The text claims that ASQ is ahead at all widths. At 3 bits its 91.7 is below the 92.0 and 92.2 of the "
            "rows taken for LSQ and APoT.",
        ),
    ),
    "asq-ablation": PaperTable(
        f"What POST and ASQ add to LSQ, 4-bit ResNet-20 on CIFAR-10: Table 5 of {ASQ}",
        "300 epochs",
        ("The released POST code has 2^b + 1 levels, one more than b bits can code.",),
    ),
    "imagenet": PaperTable(
        "ImageNet, as each method's own paper or code reports it",
        "differs by row; 90 epochs in LSQ, 100 in APoT",
        (
            "Float networks, and so the starting points, differ between rows.",
            "First and last layer: 8 bits in LSQ, 8-bit weights in APoT, float in DoReFa, LQ-Nets and QIL.",
        ),
    ),
    "cifar10": PaperTable(
        "CIFAR-10, as each method's own paper or code reports it",
        "differs by row; 300 epochs in APoT",
        ("Accuracies of PACT in circulation disagree: errors of 9.2, 9.4 and 11.1 % against 91.7, 91.1 and 89.7 %.",),
    ),
    "qil-weights": PaperTable(
        "Weights alone quantized, ResNet-18 on ImageNet: QIL, arXiv:1808.05779",
        "90 epochs according to an implementation that follows the paper",
        ("Activations are in float.",),
    ),
    "bwrf": PaperTable(
        "Block-wise replacement: BWRF, arXiv:2412.15846",
        "not available",
        (
            "The paper reports 2, 3 and 4 bits on ImageNet and CIFAR-10 and claims that training along mixed-precision "
            "branches helps a method that it is wrapped around. Its result tables, loss weights, temperature and "
            "schedule are not available here, so no number of it is quoted: its method is measured against the same "
            "method without it.",
            "The rows of ResNet-20 are not the paper's.",
        ),
    ),
}
